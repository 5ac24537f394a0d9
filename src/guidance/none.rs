use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Branch, Guidance};

/// The conditional network as it is: one row per picture, the negative prompt is not read.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Unguided {}

impl Guidance for Unguided {
    fn branches(&self, _share: f64) -> &'static [Branch] {
        &[Branch::Positive]
    }

    fn mix(&self, outputs: &[Tensor]) -> Tensor {
        outputs[0].shallow_clone()
    }
}
