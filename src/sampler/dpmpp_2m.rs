use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Rule, Span, Weights,
    exponential::{Difference, Form, through_two},
};
use crate::denoiser::Threshold;

/// DPM-Solver++ 2M: second order from the last two clean-picture estimates (Lu et al. 2022, arXiv 2211.01095,
/// algorithm 2).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Dpmpp2m {
    /// Weight of the difference: `midpoint` is the published one, `taylor` exact for linear estimates (elsewhere called
    /// heun).
    #[schema(inline)]
    pub difference: Difference,
    /// Whether the last step is of first order, which few steps need.
    pub lower_order_final: bool,
    /// Brings clean pictures into their range; null: leaves them as they are.
    #[schema(inline)]
    pub threshold: Option<Threshold>,
}

impl Default for Dpmpp2m {
    fn default() -> Self {
        Self { difference: Difference::Midpoint, lower_order_final: true, threshold: None }
    }
}

impl Rule for Dpmpp2m {
    fn history(&self) -> usize {
        2
    }

    fn lower_order_final(&self) -> bool {
        self.lower_order_final
    }

    fn predict(&self, span: &Span) -> Weights {
        through_two(Form::Data, self.difference, 0.0, span)
    }

    fn threshold(&self) -> Option<Threshold> {
        self.threshold
    }
}
