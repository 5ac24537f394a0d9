use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Points, Spacing, Wanted};

/// `sigma / alpha` at eleven equally spaced places of a path.
type Levels = [f64; 11];

const SD15: Levels = [
    14.6146412293,
    6.4745760956,
    3.8636745985,
    2.6946151520,
    1.8841921177,
    1.3943805092,
    0.9642583904,
    0.6523686016,
    0.3977456272,
    0.1515232662,
    0.0291671582,
];
const SDXL: Levels = [
    14.6146412293,
    6.3184485287,
    3.7681790315,
    2.1811480769,
    1.3405244945,
    0.8620721141,
    0.5550693289,
    0.3798540708,
    0.2332364134,
    0.1114188177,
    0.0291671582,
];
const SVD: Levels = [700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002];

/// The models that schedules were optimised for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Stable Diffusion 1.5.
    Sd15,
    /// Stable Diffusion XL.
    Sdxl,
    /// Stable Video Diffusion.
    Svd,
}

impl Table {
    fn levels(self) -> &'static Levels {
        match self {
            Self::Sd15 => &SD15,
            Self::Sdxl => &SDXL,
            Self::Svd => &SVD,
        }
    }

    /// Between two of them `log sigma` is linear, so that the same curve serves any number of steps.
    fn at(self, way: f64) -> f64 {
        let (levels, place) = (self.levels(), way * (SD15.len() - 1) as f64);
        let before = (place.floor() as usize).min(SD15.len() - 2);
        let (from, to) = (levels[before].ln(), levels[before + 1].ln());
        (from + (to - from) * (place - before as f64)).exp()
    }
}

/// Levels found by optimisation for 10 steps of known models, interpolated for other numbers of steps.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct AlignYourSteps {
    /// For which model: `sd15`, `sdxl` or `svd`.
    #[schema(inline)]
    pub table: Table,
    /// The least noisy level too gets an evaluation before the step to 0, as AUTOMATIC1111 has it; otherwise that step
    /// takes its place, as published.
    pub keep_last: bool,
}

impl Default for AlignYourSteps {
    fn default() -> Self {
        Self { table: Table::Sd15, keep_last: false }
    }
}

impl Spacing for AlignYourSteps {
    fn points(&self, wanted: &Wanted) -> Points {
        let gaps = if self.keep_last { wanted.last().max(1) } else { wanted.steps } as f64;
        wanted.ratios(wanted.indices().map(|k| self.table.at(k as f64 / gaps)))
    }
}
