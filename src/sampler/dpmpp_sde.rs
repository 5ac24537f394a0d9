use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Run, Solver, ancestral::split, combine, span::Draws};
use crate::{
    error::Result,
    process::{Grid, Level},
};

/// DPM-Solver++ SDE: an ancestral step to inside, and one of second order over the whole step, each with its own noise
/// (k-diffusion; Lu et al. 2022, arXiv 2211.01095).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DpmppSde {
    /// Share of the noise that is drawn afresh.
    #[schema(minimum = 0, maximum = 1)]
    pub eta: f64,
    /// Scale of the fresh noise.
    #[schema(minimum = 0, maximum = 2)]
    pub s_noise: f64,
    /// Where inside, as a share of the step in lambda.
    #[schema(minimum = 0.1, maximum = 0.9)]
    pub r: f64,
    /// Where fresh noise comes from.
    #[schema(inline)]
    pub noise: Draws,
}

impl Default for DpmppSde {
    fn default() -> Self {
        Self { eta: 1.0, s_noise: 1.0, r: 0.5, noise: Draws::Brownian }
    }
}

impl Solver for DpmppSde {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        Some(grid.steps().map(|(from, to)| if halved(&from, &to) { 2 } else { 1 }).sum())
    }

    fn stochastic(&self) -> bool {
        self.eta > 0.0 && self.s_noise > 0.0
    }

    fn sample(self, mut run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        if self.noise == Draws::Brownian {
            let inside = |from: &Level, to: &Level| from.lambda() + self.r * (to.lambda() - from.lambda());
            let both = |(from, to): (Level, Level)| [(from.lambda(), inside(&from, &to)), (from.lambda(), to.lambda())];
            run.noise.follow(1.0, run.grid.steps().flat_map(both).collect());
        }
        Box::pin(async move {
            let mut x = run.x.shallow_clone();
            for (index, (from, to)) in (0..).zip(run.grid.steps()) {
                x = self.step(&run, &x, 2 * index, (from, to)).await?;
            }
            Ok(x)
        })
    }
}

/// Whether a step has an inside.
fn halved(from: &Level, to: &Level) -> bool {
    from.ratio().is_finite() && to.sigma > 0.0
}

impl DpmppSde {
    async fn step(&self, run: &Run, x: &Tensor, draw: u32, (from, to): (Level, Level)) -> Result<Tensor> {
        let first = run.denoiser.denoise(x, &from).await?;
        let s = from.ratio();
        if !halved(&from, &to) {
            let (down, up) = split(s, to.ratio(), self.eta);
            let there = combine(&[(to.alpha, &first.x0), (to.alpha * down, &first.eps)]);
            return Ok(self.noised(run, &there, draw + 1, to.alpha * up));
        }
        let middle = run.process.at_ratio(s * (to.ratio() / s).powf(self.r));
        let (down, up) = split(s, middle.ratio(), self.eta);
        let inside = combine(&[(middle.alpha, &first.x0), (middle.alpha * down, &first.eps)]);
        let inside = self.noised(run, &inside, draw, middle.alpha * up);
        let second = run.denoiser.denoise(&inside, &middle).await?;
        let (down, up) = split(s, to.ratio(), self.eta);
        let (kept, share) = (down / s, 0.5 / self.r);
        let fresh = to.alpha * (1.0 - kept);
        let there = combine(&[
            (to.alpha * kept / from.alpha, x),
            (fresh * (1.0 - share), &first.x0),
            (fresh * share, &second.x0),
        ]);
        Ok(self.noised(run, &there, draw + 1, to.alpha * up))
    }

    fn noised(&self, run: &Run, x: &Tensor, draw: u32, deviation: f64) -> Tensor {
        match deviation * self.s_noise {
            0.0 => x.shallow_clone(),
            z => combine(&[(1.0, x), (z, &run.noise.step(draw))]),
        }
    }
}
