use futures_util::future::{LocalBoxFuture, ready};
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Partner, Wrapper};
use crate::{denoiser::Correction, error::Result, process::Level, sampler::Run};

/// Divides the noise that the network says, after guidance, by a little more than 1: on states that drifted from those of
/// training, networks say too much of it (Ning et al. 2024, arXiv 2308.15321, section 5).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct EpsilonScale {
    /// The divisor at the clean end. Larger for fewer steps.
    #[schema(minimum = 0.9, maximum = 1.1)]
    pub scale: f64,
    /// What is added to it towards the noisy end, in proportion to the share of the steps still to go.
    #[schema(minimum = -0.1, maximum = 0.1)]
    pub slope: f64,
}

impl Default for EpsilonScale {
    fn default() -> Self {
        Self { scale: 1.005, slope: 0.0 }
    }
}

impl Wrapper for EpsilonScale {
    fn apply<'a>(&'a self, run: &'a mut Run, _partner: Option<Partner>) -> LocalBoxFuture<'a, Result<()>> {
        let grid = run.grid.clone();
        let Self { scale, slope } = *self;
        let by = move |level: &Level| scale + slope * (1.0 - grid.share(level));
        run.denoiser.corrections.push(Box::new(Divided(by)));
        Box::pin(ready(Ok(())))
    }
}

struct Divided<F>(F);

impl<F: Fn(&Level) -> f64> Correction for Divided<F> {
    fn correct(&self, eps: &Tensor, level: &Level) -> Tensor {
        eps / (self.0)(level)
    }
}
