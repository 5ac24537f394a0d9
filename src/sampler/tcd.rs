use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Rule, Span, Weights};
use crate::process::Level;

/// Trajectory consistency sampling: a jump along the path to a level below the next, then noise up to it (Zheng et al. 2024,
/// arXiv 2402.19159, algorithm 4). For models distilled to it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Tcd {
    /// How far below: 0 not at all, deterministic; 1 to the least noisy level. The paper's gamma.
    #[schema(minimum = 0, maximum = 1)]
    pub eta: f64,
}

impl Default for Tcd {
    fn default() -> Self {
        Self { eta: 0.3 }
    }
}

impl Rule for Tcd {
    fn history(&self) -> usize {
        1
    }

    /// `x_s = alpha_s x0 + sigma_s eps`, `x' = (alpha' / alpha_s) x_s + sqrt(sigma'^2 - (alpha' sigma_s / alpha_s)^2) z`.
    fn predict(&self, s: &Span) -> Weights {
        let below = if s.to.sigma > 0.0 { self.below(s) } else { s.to };
        let kept = if below.sigma > 0.0 { s.to.alpha * below.ratio() } else { 0.0 };
        let z =
            if s.left > 0 && self.eta > 0.0 { (s.to.sigma * s.to.sigma - kept * kept).max(0.0).sqrt() } else { 0.0 };
        Weights { x0: vec![s.to.alpha], eps: vec![kept], z, ..Weights::default() }
    }

    fn stochastic(&self) -> bool {
        self.eta > 0.0
    }
}

impl Tcd {
    fn below(&self, s: &Span) -> Level {
        if s.left == 0 || self.eta == 0.0 {
            return s.to;
        }
        let least = s.process.range().0;
        let t = least + (1.0 - self.eta) * (s.to.t - least);
        // The product in f32, as the method's code has it, decides which of two whole times it is.
        let whole = f64::from(((1.0 - self.eta) as f32 * s.to.t as f32).floor());
        s.process.at(if s.process.integer_times() { whole } else { t })
    }
}
