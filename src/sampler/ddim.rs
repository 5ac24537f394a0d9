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
        ancestral(s, self.eta)
    }

    fn stochastic(&self) -> bool {
        self.eta > 0.0
    }

    fn threshold(&self) -> Option<Threshold> {
        self.threshold
    }
}

/// A step that forgets the share `eta` of the posterior's noise and draws it afresh.
///
/// The posterior variance of `x'` given `x` and `x0` is `(sigma' / sigma)^2 (sigma^2 - (alpha / alpha')^2 sigma'^2)`,
/// which is eq. (16) of Song et al. 2021 for any process.
pub(super) fn ancestral(s: &Span, eta: f64) -> Weights {
    let c = eta * s.to.sigma / s.from.sigma * transition_variance(s).sqrt();
    let eps = (s.to.sigma * s.to.sigma - c * c).max(0.0).sqrt();
    Weights { x0: vec![s.to.alpha], eps: vec![eps], z: c, ..Weights::default() }
}

/// Variance of `x` given `x'`: `sigma^2 - (alpha / alpha')^2 sigma'^2`, `beta` of Ho et al. 2020 for one training step.
pub(super) fn transition_variance(s: &Span) -> f64 {
    let kept = s.from.alpha / s.to.alpha * s.to.sigma;
    (s.from.sigma * s.from.sigma - kept * kept).max(0.0)
}
