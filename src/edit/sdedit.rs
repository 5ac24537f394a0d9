use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Method;

/// SDEdit, or image to image: noise up to a level of the schedule, and the sampler's way down from there (Meng et al. 2022,
/// algorithm 1). At `strength` 1 it starts from the seed's noise alone. What a mask keeps is put back into the pixels.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SdEdit {
    /// Pixels over which the edge of a mask is spread, as a tent of that half width along both axes.
    #[schema(minimum = 0, maximum = 256)]
    pub feather: u32,
}

impl Method for SdEdit {
    fn strength(&self) -> f64 {
        0.8
    }

    fn feather(&self) -> u32 {
        self.feather
    }
}
