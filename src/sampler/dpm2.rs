use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Form, Run, Solver, ancestral::Midway};
use crate::{error::Result, process::Grid};

/// DPM2: the midpoint method in `s = sigma / alpha`, with the middle in its logarithm (k-diffusion, after algorithm 2 of
/// Karras et al. 2022).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Dpm2 {}

/// Along the path itself.
const STRAIGHT: Midway = Midway { by: Form::Noise, eta: 0.0, s_noise: 0.0 };

impl Solver for Dpm2 {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        Some(STRAIGHT.evaluations(grid))
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(STRAIGHT.walk(run))
    }
}
