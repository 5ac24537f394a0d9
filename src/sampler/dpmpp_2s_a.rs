use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Run, Solver, ancestral::split, combine, dpm2};
use crate::{
    error::Result,
    process::{Grid, Level},
};

/// DPM-Solver++ 2S ancestral: a step of second order to a level below the next, then fresh noise up to it (k-diffusion; Lu et
/// al. 2022, arXiv 2211.01095, algorithm 1).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Dpmpp2sA {
    /// Share of the noise that is drawn afresh.
    #[schema(minimum = 0, maximum = 1)]
    pub eta: f64,
    /// Scale of the fresh noise.
    #[schema(minimum = 0, maximum = 2)]
    pub s_noise: f64,
}

impl Default for Dpmpp2sA {
    fn default() -> Self {
        Self { eta: 1.0, s_noise: 1.0 }
    }
}

impl Solver for Dpmpp2sA {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        Some(dpm2::evaluations(grid))
    }

    fn stochastic(&self) -> bool {
        self.eta > 0.0 && self.s_noise > 0.0
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(async move {
            let mut x = run.x.shallow_clone();
            for (index, (from, to)) in (0..).zip(run.grid.steps()) {
                let (down, up) = split(from.ratio(), to.ratio(), self.eta);
                x = step(&run, &x, &from, (to, down)).await?;
                let z = to.alpha * up * self.s_noise;
                if z > 0.0 {
                    x = combine(&[(1.0, &x), (z, &run.noise.step(index))]);
                }
            }
            Ok(x)
        })
    }
}

/// From a level to the ratio `down`, in the units of `to`, by the clean picture in the middle of the step in lambda.
async fn step(run: &Run, x: &Tensor, from: &Level, (to, down): (Level, f64)) -> Result<Tensor> {
    let first = run.denoiser.denoise(x, from).await?;
    let s = from.ratio();
    if !s.is_finite() || down == 0.0 {
        return Ok(combine(&[(to.alpha, &first.x0), (to.alpha * down, &first.eps)]));
    }
    let middle = run.process.at_ratio((s * down).sqrt());
    let inside = combine(&[(middle.alpha, &first.x0), (middle.sigma, &first.eps)]);
    let second = run.denoiser.denoise(&inside, &middle).await?;
    // y' = (down / s) y + (1 - down / s) x0 of the middle, y = x / alpha.
    let kept = down / s;
    Ok(combine(&[(to.alpha * kept / from.alpha, x), (to.alpha * (1.0 - kept), &second.x0)]))
}
