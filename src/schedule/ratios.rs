use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Ground, Points, Spacing, Wanted, ground::Unit};

/// `sigma^(1/rho)` in equal strides, dense where there is little noise (Karras et al. 2022, eq. 5).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Karras {
    /// How dense.
    #[schema(minimum = 1, maximum = 100)]
    pub rho: f64,
    /// Least `sigma / alpha`; null: the model's.
    #[schema(minimum = 1e-6, maximum = 1e6)]
    pub sigma_min: Option<f64>,
    /// Greatest `sigma / alpha`; null: the model's.
    #[schema(minimum = 1e-6, maximum = 1e6)]
    pub sigma_max: Option<f64>,
    /// What falls: `sigmas`, sigma / alpha, as published; or `shares`, sigma / (alpha + sigma), as flow matching counts.
    #[schema(inline)]
    pub over: Unit,
    /// One level more, and the least noisy one left out.
    pub drop_last: bool,
}

impl Default for Karras {
    fn default() -> Self {
        Self { rho: 7.0, sigma_min: None, sigma_max: None, over: Unit::Sigmas, drop_last: false }
    }
}

impl Spacing for Karras {
    fn points(&self, wanted: &Wanted) -> Points {
        let (low, high) = ordered(self.over, wanted.ground, self.sigma_min, self.sigma_max);
        let root = |value: f64| value.powf(self.rho.recip());
        let gaps = gaps(wanted, self.drop_last);
        spread((root(high), root(low)), wanted, gaps, |x| self.over.ratio(x.powf(self.rho)))
    }
}

/// `log sigma` in equal strides.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Exponential {
    /// Least `sigma / alpha`; null: the model's.
    #[schema(minimum = 1e-6, maximum = 1e6)]
    pub sigma_min: Option<f64>,
    /// Greatest `sigma / alpha`; null: the model's.
    #[schema(minimum = 1e-6, maximum = 1e6)]
    pub sigma_max: Option<f64>,
    /// What falls: `sigmas`, sigma / alpha, as published; or `shares`, sigma / (alpha + sigma), as flow matching counts.
    #[schema(inline)]
    pub over: Unit,
    /// One level more, and the least noisy one left out.
    pub drop_last: bool,
}

impl Default for Exponential {
    fn default() -> Self {
        Self { sigma_min: None, sigma_max: None, over: Unit::Sigmas, drop_last: false }
    }
}

impl Spacing for Exponential {
    fn points(&self, wanted: &Wanted) -> Points {
        let (low, high) = ordered(self.over, wanted.ground, self.sigma_min, self.sigma_max);
        let gaps = gaps(wanted, self.drop_last);
        spread((high.ln(), low.ln()), wanted, gaps, |log| self.over.ratio(log.exp()))
    }
}

/// A power of the way along `log sigma`; 1 is `exponential` (k-diffusion).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Polyexponential {
    /// The power: above 1 dense where there is little noise, below 1 where there is much.
    #[schema(minimum = 0.1, maximum = 10)]
    pub rho: f64,
    /// Least `sigma / alpha`; null: the model's.
    #[schema(minimum = 1e-6, maximum = 1e6)]
    pub sigma_min: Option<f64>,
    /// Greatest `sigma / alpha`; null: the model's.
    #[schema(minimum = 1e-6, maximum = 1e6)]
    pub sigma_max: Option<f64>,
}

impl Default for Polyexponential {
    fn default() -> Self {
        Self { rho: 1.0, sigma_min: None, sigma_max: None }
    }
}

impl Spacing for Polyexponential {
    fn points(&self, wanted: &Wanted) -> Points {
        let (low, high) = ordered(Unit::Sigmas, wanted.ground, self.sigma_min, self.sigma_max);
        let above = |way: f64| (1.0 - way).powf(self.rho) * (high / low).ln();
        Points::Ratios(wanted.ramp().map(|way| low * above(way).exp()).collect())
    }
}

/// Half the log signal-to-noise ratio, `lambda = ln(alpha / sigma)`, in equal strides: the path of [`Exponential`] in
/// the unit in which DPM-Solver states it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UniformLambda {
    /// Least `lambda`, the noisy end; null: the model's.
    #[schema(minimum = -14, maximum = 14)]
    pub lambda_min: Option<f64>,
    /// Greatest `lambda`, the clean end; null: the model's.
    #[schema(minimum = -14, maximum = 14)]
    pub lambda_max: Option<f64>,
}

impl Spacing for UniformLambda {
    fn points(&self, wanted: &Wanted) -> Points {
        let ratio = |lambda: f64| (-lambda).exp();
        let (low, high) = ordered(Unit::Sigmas, wanted.ground, self.lambda_max.map(ratio), self.lambda_min.map(ratio));
        spread((high.ln(), low.ln()), wanted, gaps(wanted, false), f64::exp)
    }
}

/// Least and greatest value in a unit, the given `sigma / alpha` before the model's, in their order.
pub(super) fn ordered(unit: Unit, ground: &Ground, low: Option<f64>, high: Option<f64>) -> (f64, f64) {
    let (least, greatest) = unit.ends(ground);
    let (low, high) = (low.map_or(least, |ratio| unit.of(ratio)), high.map_or(greatest, |ratio| unit.of(ratio)));
    (low.min(high), low.max(high))
}

/// Strides from the first point to the last one that is spread, which `drop_last` puts behind those that are walked.
pub(super) fn gaps(wanted: &Wanted, drop_last: bool) -> usize {
    if drop_last { wanted.steps } else { wanted.last().max(1) }
}

/// A value falls in so many equal strides.
pub(super) fn spread(ends: (f64, f64), wanted: &Wanted, gaps: usize, unit: impl Fn(f64) -> f64) -> Points {
    let value = |k: usize| ends.0 + (ends.1 - ends.0) * (k as f64 / gaps as f64);
    Points::Ratios(wanted.indices().map(|k| unit(value(k))).collect())
}
