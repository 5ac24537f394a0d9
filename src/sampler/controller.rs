use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a step's length follows from the errors of the last three: proportional, integral and derivative gain.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gains {
    /// Of the error.
    #[schema(minimum = 0, maximum = 1)]
    pub proportional: f64,
    /// Of its sum.
    #[schema(minimum = 0, maximum = 1)]
    pub integral: f64,
    /// Of its change.
    #[schema(minimum = 0, maximum = 1)]
    pub derivative: f64,
    /// A step stands if the next may be at least this much of it.
    #[schema(minimum = 0.1, maximum = 1)]
    pub safety: f64,
}

impl Default for Gains {
    fn default() -> Self {
        Self { proportional: 0.0, integral: 1.0, derivative: 0.0, safety: 0.81 }
    }
}

/// A PID controller of the step length (Soderlind 2003, "Digital filters in adaptive time-stepping", section 3).
#[derive(Debug)]
pub struct Controller {
    /// Length of the next step to try.
    pub h: f64,
    exponents: [f64; 3],
    safety: f64,
    inverses: Option<[f64; 3]>,
}

impl Controller {
    /// With the length of the first step.
    pub fn new(h: f64, order: f64, gains: Gains) -> Self {
        let Gains { proportional: p, integral: i, derivative: d, safety } = gains;
        let exponents = [p + i + d, -(p + 2.0 * d), d].map(|gain| gain / order);
        Self { h, exponents, safety, inverses: None }
    }

    /// Whether a step of that error stands; sets the length of the next. An error that is no number never does.
    pub fn accepts(&mut self, error: f64) -> bool {
        let inverse = (error + 1e-8).recip();
        let [_, before, earlier] = self.inverses.unwrap_or([inverse; 3]);
        let known = [inverse, before, earlier];
        let product: f64 = known.iter().zip(self.exponents).map(|(inverse, power)| inverse.powf(power)).product();
        // Grows to at most 1 + pi / 2, falls to at least 1 - pi / 4.
        let factor = 1.0 + (product - 1.0).atan();
        let stands = factor >= self.safety;
        self.inverses = Some(if stands { [inverse, inverse, before] } else { known });
        self.h *= if factor.is_finite() { factor } else { 0.5 };
        stands
    }
}
