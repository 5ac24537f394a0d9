use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Rule, Span, Weights,
    exponential::{Difference, Form, through_two},
    span::Draws,
};

/// SDE-DPM-Solver++ 2M: the reverse diffusion to second order from the last two clean-picture estimates (Lu et al. 2022,
/// arXiv 2211.01095, eq. 18 and its multistep form), or SDE-DPM-Solver 2M, from the noises.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Dpmpp2mSde {
    /// Share of fresh noise: 0 the deterministic solver, 1 the reverse diffusion.
    #[schema(minimum = 0, maximum = 1)]
    pub eta: f64,
    /// Scale of the fresh noise.
    #[schema(minimum = 0, maximum = 2)]
    pub s_noise: f64,
    /// Weight of the difference: `midpoint`, or `taylor`, elsewhere called heun.
    #[schema(inline)]
    pub difference: Difference,
    /// What is extrapolated: `data`, or `noise` (SDE-DPM-Solver), which needs more steps.
    #[schema(inline)]
    pub form: Form,
    /// Estimates that a step looks back on.
    #[schema(minimum = 1, maximum = 2)]
    pub order: u32,
    /// Where fresh noise comes from.
    #[schema(inline)]
    pub noise: Draws,
}

impl Default for Dpmpp2mSde {
    fn default() -> Self {
        let (difference, form, noise) = (Difference::Midpoint, Form::Data, Draws::Brownian);
        Self { eta: 1.0, s_noise: 1.0, difference, form, order: 2, noise }
    }
}

impl Rule for Dpmpp2mSde {
    fn history(&self) -> usize {
        self.order as usize
    }

    fn predict(&self, span: &Span) -> Weights {
        let weights = through_two(self.form, self.difference, self.eta, span);
        Weights { z: weights.z * self.s_noise, ..weights }
    }

    fn stochastic(&self) -> bool {
        self.eta > 0.0 && self.s_noise > 0.0
    }

    fn path(&self) -> Option<f64> {
        self.noise.path(self.form.share(self.eta))
    }
}
