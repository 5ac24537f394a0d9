use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{EVERYWHERE, Place, Run, Solver, pndm::Pseudo};
use crate::{error::Result, process::Grid};

/// PLMS: the pseudo linear multistep method of PNDM after one pseudo step of Heun's (Liu et al. 2022, arXiv 2202.09778;
/// Rombach et al. 2022). Meant for equal steps in time.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Plms {
    /// Estimates that a step weighs.
    #[schema(minimum = 1, maximum = 4)]
    pub order: u32,
}

impl Default for Plms {
    fn default() -> Self {
        Self { order: 4 }
    }
}

impl Plms {
    fn pseudo(&self) -> Pseudo {
        Pseudo { order: self.order as usize, kutta: 0, heun: 1 }
    }
}

impl Solver for Plms {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        Some(self.pseudo().evaluations(grid))
    }

    fn carries(&self) -> &'static [Place] {
        EVERYWHERE
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(self.pseudo().walk(run))
    }
}
