use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Points, Spacing, Wanted};

/// The last training time, then equal strides down to about one stride above the first.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Trailing {}

impl Spacing for Trailing {
    fn points(&self, wanted: &Wanted) -> Points {
        let n = wanted.ground.labels() as f64;
        let stride = n / wanted.steps as f64;
        // Rounded before the 1 is taken off, as the definition has it: ties fall differently otherwise.
        let round = |label: f64| if wanted.whole { label.round_ties_even() } else { label };
        wanted.times(wanted.indices().map(|k| round(n - k as f64 * stride) - 1.0))
    }
}

/// Equal whole strides up from the first training time; never reaches the last one.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Leading {
    /// Added to every training time; null: the model's own. Kept inside the training times.
    #[schema(minimum = 0, maximum = 1000)]
    pub offset: Option<u32>,
}

impl Spacing for Leading {
    fn points(&self, wanted: &Wanted) -> Points {
        let (n, steps) = (wanted.ground.labels(), wanted.steps);
        let stride = (n / steps).max(1);
        let room = (n - 1).saturating_sub((steps - 1) * stride);
        let offset = room.min(self.offset.unwrap_or(wanted.ground.offset) as usize);
        wanted.times((0..steps).rev().map(|k| (k * stride + offset) as f64))
    }
}

/// Equal strides from the last training time to the first, both included. With `time: real` the times are uniform.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Linspace {
    /// One point more, and the last one (time 0) left out.
    pub drop_last: bool,
}

impl Spacing for Linspace {
    fn points(&self, wanted: &Wanted) -> Points {
        let top = (wanted.ground.labels() - 1) as f64;
        let gaps = if self.drop_last { wanted.steps } else { wanted.last().max(1) };
        wanted.times(wanted.indices().map(|k| top - top * k as f64 / gaps as f64))
    }
}

/// A root of the training time in equal strides, dense where there is little noise.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Quadratic {
    /// Which root: the time is this power of the equal strides; 1 is `linspace`.
    #[schema(minimum = 0.1, maximum = 10)]
    pub power: f64,
}

impl Default for Quadratic {
    fn default() -> Self {
        Self { power: 2.0 }
    }
}

impl Spacing for Quadratic {
    fn points(&self, wanted: &Wanted) -> Points {
        let top = (wanted.ground.labels() - 1) as f64;
        wanted.times(wanted.ramp().map(|way| top * (1.0 - way).powf(self.power)))
    }
}
