use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Rule, Span, Weights};
use crate::denoiser::Threshold;

/// DDIM: one step along the deterministic path, or with a share of the DDPM noise.
///
/// `x' = alpha' x0 + sqrt(sigma'^2 - c^2) eps + c z`, `c` of Song et al. 2021, eq. (12) and (16).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Ddim {
    /// Share of fresh noise: 0 none, 1 as much as DDPM.
    #[schema(minimum = 0, maximum = 1)]
    pub eta: f64,
    /// Brings clean pictures into their range; null: leaves them as they are.
    #[schema(inline)]
    pub threshold: Option<Threshold>,
}

impl Rule for Ddim {
    fn history(&self) -> usize {
        1
    }

    fn predict(&self, s: &Span) -> Weights {
        published(s, self.eta)
    }

    fn stochastic(&self) -> bool {
        self.eta > 0.0
    }

    fn threshold(&self) -> Option<Threshold> {
        self.threshold
    }
}

/// A step that forgets the share `eta` of the posterior's noise and draws it afresh.
pub(super) fn ancestral(s: &Span, eta: f64) -> Weights {
    renewed(s, eta, transition_variance(s, s.from.alpha / s.to.alpha))
}

/// The same along the chain that the process was published with.
pub(super) fn published(s: &Span, eta: f64) -> Weights {
    renewed(s, eta, published_variance(s))
}

/// The posterior variance of `x'` given `x` and `x0` is `(sigma' / sigma)^2` times that of `x` given `x'`, which is eq.
/// (16) of Song et al. 2021 for any process.
fn renewed(s: &Span, eta: f64, transition_variance: f64) -> Weights {
    let c = eta * s.to.sigma / s.from.sigma * transition_variance.sqrt();
    let eps = (s.to.sigma * s.to.sigma - c * c).max(0.0).sqrt();
    Weights { x0: vec![s.to.alpha], eps: vec![eps], z: c, ..Weights::default() }
}

/// Variance of `x` given `x'` in the process's published chain, `beta` of Ho et al. 2020 for one training step.
pub(super) fn published_variance(s: &Span) -> f64 {
    transition_variance(s, s.process.kept(&s.from, &s.to))
}

/// Variance of `x` given `x'` where the share `kept` of it remains.
fn transition_variance(s: &Span, kept: f64) -> f64 {
    let kept = kept * s.to.sigma;
    (s.from.sigma * s.from.sigma - kept * kept).max(0.0)
}
