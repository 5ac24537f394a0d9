use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Run, Solver, ancestral::split, combine, dpm2};
use crate::{error::Result, process::Grid};

/// DPM2 ancestral: DPM2 to a level below the next, then fresh noise up to it (k-diffusion; Karras et al. 2022).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Dpm2A {
    /// Share of the noise that is drawn afresh.
    #[schema(minimum = 0, maximum = 1)]
    pub eta: f64,
    /// Scale of the fresh noise.
    #[schema(minimum = 0, maximum = 2)]
    pub s_noise: f64,
}

impl Default for Dpm2A {
    fn default() -> Self {
        Self { eta: 1.0, s_noise: 1.0 }
    }
}

impl Solver for Dpm2A {
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
                x = dpm2::step(&run, &x, &from, (to, down)).await?;
                let z = to.alpha * up * self.s_noise;
                if z > 0.0 {
                    x = combine(&[(1.0, &x), (z, &run.noise.step(index))]);
                }
            }
            Ok(x)
        })
    }
}
