use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{
    EVERYWHERE, Place, Rule, Run, Solver, Span, Weights,
    exponential::{Difference, Form, through, through_two},
    march,
    singlestep::Singlestep,
};
use crate::{denoiser::Threshold, error::Result, process::Grid};

/// DPM-Solver: the noise extrapolated in lambda (Lu et al. 2022, arXiv 2206.00927). One evaluation for each step of the
/// schedule in either variant.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DpmSolver {
    /// Evaluations in a step (`singlestep`), or estimates that a step looks back on (`multistep`).
    #[schema(minimum = 1, maximum = 3)]
    pub order: u32,
    /// Where a step's estimates are from: itself, at the schedule's levels in it, or the steps before.
    #[schema(inline)]
    pub variant: Variant,
    /// Weight of the difference: `midpoint` is the published one, `taylor` exact for linear estimates.
    #[schema(inline)]
    pub difference: Difference,
    /// Whether the last step is of first order, which few steps need.
    pub lower_order_final: bool,
    /// Brings clean pictures into their range; null: leaves them as they are.
    #[schema(inline)]
    pub threshold: Option<Threshold>,
}

/// Where a step's estimates are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Itself.
    Singlestep,
    /// The steps before.
    Multistep,
}

impl Default for DpmSolver {
    fn default() -> Self {
        let (variant, difference) = (Variant::Singlestep, Difference::Midpoint);
        Self { order: 3, variant, difference, lower_order_final: true, threshold: None }
    }
}

impl Solver for DpmSolver {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        Some(grid.len())
    }

    fn carries(&self) -> &'static [Place] {
        if self.variant == Variant::Multistep { EVERYWHERE } else { super::ENDS }
    }

    fn sample(self, mut run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        match self.variant {
            Variant::Multistep => Box::pin(march(self, run)),
            Variant::Singlestep => {
                let Self { difference, lower_order_final, threshold, .. } = self;
                run.denoiser.threshold = threshold;
                let order = self.order as usize;
                Box::pin(Singlestep { form: Form::Noise, difference, order, lower_order_final }.walk(run))
            }
        }
    }
}

impl Rule for DpmSolver {
    fn history(&self) -> usize {
        self.order as usize
    }

    fn lower_order_final(&self) -> bool {
        self.lower_order_final
    }

    fn predict(&self, span: &Span) -> Weights {
        match span.past.len() {
            2 => through_two(Form::Noise, self.difference, 0.0, span),
            _ => through(Form::Noise, span),
        }
    }

    fn threshold(&self) -> Option<Threshold> {
        self.threshold
    }
}
