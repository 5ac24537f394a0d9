use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Rule, Span, Weights, ddim::ancestral};

/// Euler ancestral: a deterministic step to a lower level than the next, then fresh noise up to it.
///
/// With `s = sigma / alpha`: `s_up = eta s' sqrt(1 - (s' / s)^2)`, `s_down^2 = s'^2 - s_up^2`,
/// `x' = alpha' (x0 + s_down eps + s_noise s_up z)`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct EulerA {
    /// Share of the noise that is drawn afresh.
    #[schema(minimum = 0, maximum = 1)]
    pub eta: f64,
    /// Scale of the fresh noise.
    #[schema(minimum = 0, maximum = 2)]
    pub s_noise: f64,
}

impl Default for EulerA {
    fn default() -> Self {
        Self { eta: 1.0, s_noise: 1.0 }
    }
}

impl Rule for EulerA {
    fn history(&self) -> usize {
        1
    }

    fn predict(&self, s: &Span) -> Weights {
        let mut weights = ancestral(s, self.eta);
        weights.z *= self.s_noise;
        weights
    }

    fn stochastic(&self) -> bool {
        self.eta > 0.0 && self.s_noise > 0.0
    }
}
