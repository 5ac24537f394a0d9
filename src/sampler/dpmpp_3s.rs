use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{
    Run, Solver,
    exponential::{Difference, Form},
    singlestep::Singlestep,
};
use crate::{denoiser::Threshold, error::Result, process::Grid};

/// DPM-Solver++ 3S: three steps of the schedule are one of third order, with an estimate at its start and two inside (Lu et
/// al. 2022, arXiv 2211.01095, appendix B).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Dpmpp3s {
    /// Weight of the difference: `midpoint` is the published one, `taylor` exact for linear estimates.
    #[schema(inline)]
    pub difference: Difference,
    /// Whether the last step is of first order, which few steps need.
    pub lower_order_final: bool,
    /// Brings clean pictures into their range; null: leaves them as they are.
    #[schema(inline)]
    pub threshold: Option<Threshold>,
}

impl Default for Dpmpp3s {
    fn default() -> Self {
        Self { difference: Difference::Midpoint, lower_order_final: true, threshold: None }
    }
}

impl Solver for Dpmpp3s {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        Some(grid.len())
    }

    fn sample(self, mut run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        run.denoiser.threshold = self.threshold;
        let Self { difference, lower_order_final, .. } = self;
        Box::pin(Singlestep { form: Form::Data, difference, order: 3, lower_order_final }.walk(run))
    }
}
