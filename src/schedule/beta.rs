use serde::{Deserialize, Serialize};
use statrs::function::beta::inv_beta_reg;
use utoipa::ToSchema;

use super::{Points, Spacing, Wanted, ground::Unit};

/// What a [`Beta`] schedule spreads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Training times.
    Times,
    /// `sigma / alpha`.
    Sigmas,
    /// The share of noise, `sigma / (alpha + sigma)`.
    Shares,
}

/// Quantiles of a Beta distribution in equal strides, dense at both ends (Lee et al. 2024, section 4).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Beta {
    /// Its first parameter: the smaller, the denser where there is little noise.
    #[schema(minimum = 0.3, maximum = 10)]
    pub alpha: f64,
    /// Its second parameter: the smaller, the denser where there is much noise.
    #[schema(minimum = 0.3, maximum = 10)]
    pub beta: f64,
    /// What is spread: `times`, as published; or with the least among them `sigmas`, sigma / alpha, or
    /// `shares`, sigma / (alpha + sigma), as flow matching counts.
    #[schema(inline)]
    pub over: Over,
}

impl Default for Beta {
    fn default() -> Self {
        Self { alpha: 0.6, beta: 0.6, over: Over::Times }
    }
}

impl Beta {
    fn quantile(&self, share: f64) -> f64 {
        // The middle by symmetry: half of the times is a tie, which a rounding error would tip.
        if self.alpha == self.beta && share == 0.5 {
            return share;
        }
        inv_beta_reg(self.alpha, self.beta, share.clamp(0.0, 1.0))
    }

    fn quantiles(&self, unit: Unit, wanted: &Wanted) -> Points {
        let (low, high) = unit.ends(wanted.ground);
        let values = wanted.ramp().map(|way| low + (high - low) * self.quantile(1.0 - way));
        Points::Ratios(values.map(|value| unit.ratio(value)).collect())
    }
}

impl Spacing for Beta {
    fn points(&self, wanted: &Wanted) -> Points {
        match self.over {
            Over::Times => {
                let (top, steps) = ((wanted.ground.labels() - 1) as f64, wanted.steps as f64);
                wanted.times(wanted.indices().map(|k| top * self.quantile(1.0 - k as f64 / steps)))
            }
            Over::Sigmas => self.quantiles(Unit::Sigmas, wanted),
            Over::Shares => self.quantiles(Unit::Shares, wanted),
        }
    }
}
