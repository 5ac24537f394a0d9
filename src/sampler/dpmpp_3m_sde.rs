use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Rule, Span, Weights,
    exponential::{Form, stochastic},
    span::Draws,
};

/// SDE-DPM-Solver++ 3M: the reverse diffusion from the last three clean-picture estimates (k-diffusion; Lu et al. 2022,
/// arXiv 2211.01095, eq. 18, with the polynomial through three).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Dpmpp3mSde {
    /// Share of fresh noise: 0 the deterministic solver, 1 the reverse diffusion.
    #[schema(minimum = 0, maximum = 1)]
    pub eta: f64,
    /// Scale of the fresh noise.
    #[schema(minimum = 0, maximum = 2)]
    pub s_noise: f64,
    /// Where fresh noise comes from.
    #[schema(inline)]
    pub noise: Draws,
}

impl Default for Dpmpp3mSde {
    fn default() -> Self {
        Self { eta: 1.0, s_noise: 1.0, noise: Draws::Brownian }
    }
}

impl Rule for Dpmpp3mSde {
    fn history(&self) -> usize {
        3
    }

    /// Full order up to the step into the clean picture, as k-diffusion has it.
    fn lower_order_final(&self) -> bool {
        false
    }

    fn predict(&self, span: &Span) -> Weights {
        let weights = stochastic(Form::Data, self.eta, span);
        Weights { z: weights.z * self.s_noise, ..weights }
    }

    fn stochastic(&self) -> bool {
        self.eta > 0.0 && self.s_noise > 0.0
    }

    fn path(&self) -> Option<f64> {
        self.noise.path(self.eta)
    }
}
