//! The spacings over training times that the graphical programs made known under names of their own.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Leading, Linspace, Points, Spacing, Wanted};

/// Equal strides from the last training time, one more than there are steps, the last one left out: `linspace` with
/// `drop_last`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SgmUniform {}

impl Spacing for SgmUniform {
    fn points(&self, wanted: &Wanted) -> Points {
        Linspace { drop_last: true }.points(wanted)
    }
}

/// Equal strides from the last training time to the first, both included: `linspace`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Normal {}

impl Spacing for Normal {
    fn points(&self, wanted: &Wanted) -> Points {
        Linspace { drop_last: false }.points(wanted)
    }
}

/// Every so many training times down from the last, each stride cut to a whole number.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Simple {}

impl Spacing for Simple {
    fn points(&self, wanted: &Wanted) -> Points {
        let n = wanted.ground.labels() as f64;
        let stride = n / wanted.steps as f64;
        wanted.times(wanted.indices().map(|k| n - 1.0 - (k as f64 * stride).floor()))
    }
}

/// Equal whole strides up from the second training time: `leading` with `offset` 1.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DdimUniform {}

impl Spacing for DdimUniform {
    fn points(&self, wanted: &Wanted) -> Points {
        Leading { offset: Some(1) }.points(wanted)
    }
}
