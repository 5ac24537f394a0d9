use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Rule, Span, Weights, ddim::ancestral};

/// Euler's method on `dy/ds = eps`, `y = x / alpha`, `s = sigma / alpha` (Karras et al. 2022, algorithm 1 without the
/// second order). The step is that of deterministic DDIM; the path starts and ends as k-diffusion has it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Euler {}

impl Rule for Euler {
    fn history(&self) -> usize {
        1
    }

    fn predict(&self, s: &Span) -> Weights {
        ancestral(s, 0.0)
    }
}
