use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Points, Spacing, Wanted,
    ground::Unit,
    ratios::{gaps, ordered, spread},
};
use crate::error::{Fault, Result};

/// `arctan sigma` in equal strides: least divergence over all schedules for normal data (Sabour et al. 2024).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct KlOptimal {
    /// Least `sigma / alpha`; null: the model's.
    #[schema(minimum = 1e-6, maximum = 1e6)]
    pub sigma_min: Option<f64>,
    /// Greatest `sigma / alpha`; null: the model's.
    #[schema(minimum = 1e-6, maximum = 1e6)]
    pub sigma_max: Option<f64>,
}

impl Spacing for KlOptimal {
    fn points(&self, wanted: &Wanted) -> Points {
        let (low, high) = ordered(Unit::Sigmas, wanted.ground, self.sigma_min, self.sigma_max);
        spread((high.atan(), low.atan()), wanted, gaps(wanted, false), f64::tan)
    }
}

/// A share of noise that falls slowly and evenly at first, then along a parabola to 0.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct LinearQuadratic {
    /// How far the even part goes.
    #[schema(minimum = 0.001, maximum = 0.5)]
    pub threshold_noise: f64,
    /// Steps of the even part; null: half of them.
    #[schema(minimum = 1, maximum = 999)]
    pub linear_steps: Option<u32>,
    /// What falls: `shares`, `sigma / (alpha + sigma)`, as flow matching counts; or `sigmas`, `sigma / alpha`.
    #[schema(inline)]
    pub over: Unit,
}

impl Default for LinearQuadratic {
    fn default() -> Self {
        Self { threshold_noise: 0.025, linear_steps: None, over: Unit::Shares }
    }
}

/// `slope k`, and from step `from` on `bend (k - from)^2` more: 0 at step 0 and 1 after the last.
struct Curve {
    slope: f64,
    bend: f64,
    from: f64,
}

impl Curve {
    fn at(&self, k: usize) -> f64 {
        let past = (k as f64 - self.from).max(0.0);
        self.slope * k as f64 + self.bend * past * past
    }

    /// Whether it never turns before the last of `steps`.
    fn rises(&self, steps: usize) -> bool {
        self.slope + 2.0 * self.bend * (steps as f64 - self.from) >= 0.0
    }
}

impl LinearQuadratic {
    fn linear_steps(&self, steps: usize) -> usize {
        self.linear_steps.map_or(steps / 2, |given| given as usize)
    }

    fn curve(&self, steps: usize) -> Curve {
        // A single step is even all the way.
        let Some(from) = Some(self.linear_steps(steps)).filter(|from| (1..steps).contains(from)) else {
            return Curve { slope: 1.0 / steps as f64, bend: 0.0, from: 0.0 };
        };
        let (all, from) = (steps as f64, from as f64);
        let slope = self.threshold_noise / from;
        Curve { slope, bend: (1.0 - slope * all) / (all - from).powi(2), from }
    }
}

impl Spacing for LinearQuadratic {
    fn points(&self, wanted: &Wanted) -> Points {
        let curve = self.curve(wanted.steps);
        let left = wanted.indices().map(|k| 1.0 - curve.at(k));
        let (_, top) = self.over.ends(wanted.ground);
        wanted.ratios(left.map(|left| self.over.ratio(left * top)))
    }

    fn fits(&self, wanted: &Wanted) -> Result<(), Fault> {
        let refuse = |message: &str| Err(Fault::new("/schedule/linear_steps", message));
        if self.linear_steps.is_some_and(|given| given as usize >= wanted.steps) {
            return refuse("must be below the number of steps");
        }
        if !self.curve(wanted.steps).rises(wanted.steps) {
            return refuse("is too few for this `threshold_noise`: the parabola would pass its end and come back");
        }
        Ok(())
    }
}
