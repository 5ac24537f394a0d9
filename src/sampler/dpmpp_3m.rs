use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Rule, Span, Weights,
    exponential::{Difference, Form, through, through_two},
};
use crate::denoiser::Threshold;

/// DPM-Solver++ 3M: third order from the last three clean-picture estimates (Lu et al. 2022, arXiv 2211.01095, appendix B).
/// The second derivative has the factor 2 that the public codes lack, without which the order is 2.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Dpmpp3m {
    /// Whether the order falls towards the end, which few steps need.
    pub lower_order_final: bool,
    /// Brings clean pictures into their range; null: leaves them as they are.
    #[schema(inline)]
    pub threshold: Option<Threshold>,
}

impl Default for Dpmpp3m {
    fn default() -> Self {
        Self { lower_order_final: true, threshold: None }
    }
}

impl Rule for Dpmpp3m {
    fn history(&self) -> usize {
        3
    }

    fn lower_order_final(&self) -> bool {
        self.lower_order_final
    }

    fn predict(&self, span: &Span) -> Weights {
        match span.past.len() {
            // As it begins and ends: the published second order.
            2 => through_two(Form::Data, Difference::Midpoint, 0.0, span),
            _ => through(Form::Data, span),
        }
    }

    fn threshold(&self) -> Option<Threshold> {
        self.threshold
    }
}
