use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Rule, Span, Weights, ddim::ancestral};

/// DPM-Solver++ 2M: second order from the last two clean-picture estimates (Lu et al. 2022, algorithm 2, eq. 10 in
/// weights).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Dpmpp2m {
    /// Whether the last step is of first order, which few steps need.
    pub lower_order_final: bool,
}

impl Default for Dpmpp2m {
    fn default() -> Self {
        Self { lower_order_final: true }
    }
}

impl Rule for Dpmpp2m {
    fn history(&self) -> usize {
        2
    }

    fn lower_order_final(&self) -> bool {
        self.lower_order_final
    }

    fn predict(&self, s: &Span) -> Weights {
        let h = s.to.lambda() - s.from.lambda();
        let before = s.past.get(1).filter(|_| h.is_finite() && h > 0.0);
        let Some(before) = before else { return ancestral(s, 0.0) };
        let b = -s.to.alpha * (-h).exp_m1();
        let r = (s.from.lambda() - before.lambda()) / h;
        if r == 0.0 {
            return ancestral(s, 0.0);
        }
        Weights::data(s.to.sigma / s.from.sigma, [b * (1.0 + 0.5 / r), -b * 0.5 / r])
    }
}
