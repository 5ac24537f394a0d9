use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Form, Run, Solver, ancestral::Midway};
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

impl Dpm2A {
    fn midway(&self) -> Midway {
        Midway { by: Form::Noise, eta: self.eta, s_noise: self.s_noise }
    }
}

impl Solver for Dpm2A {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        Some(self.midway().evaluations(grid))
    }

    fn stochastic(&self) -> bool {
        self.midway().stochastic()
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(self.midway().walk(run))
    }
}
