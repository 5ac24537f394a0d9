use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Run, Solver, combine};
use crate::{
    error::Result,
    process::{Grid, Level},
};

/// DPM2: the midpoint method in `s = sigma / alpha`, with the middle in its logarithm (k-diffusion, after algorithm 2 of
/// Karras et al. 2022).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Dpm2 {}

impl Solver for Dpm2 {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        Some(evaluations(grid))
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(async move {
            let mut x = run.x.shallow_clone();
            for (from, to) in run.grid.steps() {
                x = step(&run, &x, &from, (to, to.ratio())).await?;
            }
            Ok(x)
        })
    }
}

/// Two in each step that has an inside.
pub(super) fn evaluations(grid: &Grid) -> usize {
    grid.steps().map(|(from, to)| if from.ratio().is_finite() && to.sigma > 0.0 { 2 } else { 1 }).sum()
}

/// From a level to the ratio `down`, in the units of `to`.
pub(super) async fn step(run: &Run, x: &Tensor, from: &Level, (to, down): (Level, f64)) -> Result<Tensor> {
    let first = run.denoiser.denoise(x, from).await?;
    let s = from.ratio();
    if !s.is_finite() || down == 0.0 {
        return Ok(combine(&[(to.alpha, &first.x0), (to.alpha * down, &first.eps)]));
    }
    let middle = run.process.at_ratio((s * down).sqrt());
    let inside = combine(&[(middle.alpha, &first.x0), (middle.sigma, &first.eps)]);
    let second = run.denoiser.denoise(&inside, &middle).await?;
    Ok(combine(&[(to.alpha, &first.x0), (to.alpha * s, &first.eps), (to.alpha * (down - s), &second.eps)]))
}
