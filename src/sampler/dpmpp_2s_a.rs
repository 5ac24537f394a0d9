use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Form, Run, Solver, ancestral::Midway};
use crate::{error::Result, process::Grid};

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

impl Dpmpp2sA {
    fn midway(&self) -> Midway {
        Midway { by: Form::Data, eta: self.eta, s_noise: self.s_noise }
    }
}

impl Solver for Dpmpp2sA {
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
