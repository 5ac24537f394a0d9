use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Rule, Span, Weights, adams};

/// Linear multistep: Adams-Bashforth for unequal steps in sigma / alpha (k-diffusion; rho-AB of Zhang and Chen 2023,
/// arXiv 2204.13902), in full order to the end.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Lms {
    /// Estimates that the polynomial goes through.
    #[schema(minimum = 1, maximum = 4)]
    pub order: u32,
}

impl Default for Lms {
    fn default() -> Self {
        Self { order: 4 }
    }
}

impl Rule for Lms {
    fn history(&self) -> usize {
        self.order as usize
    }

    fn lower_order_final(&self) -> bool {
        false
    }

    fn clean_order(&self) -> usize {
        usize::MAX
    }

    fn predict(&self, span: &Span) -> Weights {
        adams::in_ratio(span)
    }
}
