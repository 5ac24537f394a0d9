use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Rule, Span, Weights};

/// Multistep consistency sampling: the clean picture in one jump, noise up to the next level, again (Luo et al. 2023,
/// arXiv 2310.04378, algorithm 3). For models distilled to it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Lcm {}

/// What the network's time is multiplied by, and the deviation of data, in the boundary condition.
const SCALING: (f64, f64) = (10.0, 0.5);

impl Rule for Lcm {
    fn history(&self) -> usize {
        1
    }

    /// `x' = alpha' f + sigma' z`, `f = c_out x0 + c_skip x`, where `c_skip` is 1 at time 0; `f = x0` where times are not
    /// those of training steps, which is what the condition counts in.
    fn predict(&self, s: &Span) -> Weights {
        let (tau, deviation) = (SCALING.0 * s.from.t, SCALING.1);
        let skip = deviation * deviation / (tau * tau + deviation * deviation);
        let (skip, out) = if s.process.integer_times() { (skip, tau / tau.hypot(deviation)) } else { (0.0, 1.0) };
        Weights { z: s.to.sigma, ..Weights::data(s.to.alpha * skip, vec![s.to.alpha * out]) }
    }

    fn stochastic(&self) -> bool {
        true
    }
}
