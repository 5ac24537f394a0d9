use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Run, Solver, combine};
use crate::{
    error::Result,
    process::{Grid, Level},
};

/// Heun's method of second order on `dy/ds = eps`, `y = x / alpha`, `s = sigma / alpha` (Karras et al. 2022,
/// algorithm 1); a step into `sigma = 0` is Euler's.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Heun {}

impl Solver for Heun {
    fn evaluations(&self, grid: &Grid) -> usize {
        grid.steps().map(|(from, to)| if corrects(&from, &to) { 2 } else { 1 }).sum()
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(heun(run))
    }
}

fn corrects(from: &Level, to: &Level) -> bool {
    to.sigma > 0.0 && from.ratio().is_finite()
}

async fn heun(run: Run) -> Result<Tensor> {
    let mut x = run.x.shallow_clone();
    for (from, to) in run.grid.steps() {
        let first = run.denoiser.denoise(&x, &from).await?;
        x = combine(&[(to.alpha, &first.x0), (to.sigma, &first.eps)]);
        if corrects(&from, &to) {
            let second = run.denoiser.denoise(&x, &to).await?;
            // y' = y + (s' - s) (d + d') / 2 with y = x0 + s d.
            let (sum, gap) = (from.ratio() + to.ratio(), to.ratio() - from.ratio());
            let half = 0.5 * to.alpha;
            x = combine(&[(to.alpha, &first.x0), (half * sum, &first.eps), (half * gap, &second.eps)]);
        }
    }
    Ok(x)
}
