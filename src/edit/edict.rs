use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::paired::Paired;

/// Two coupled walks, backwards from two copies of the picture and forwards under another prompt; exact but for rounding
/// (Wallace et al. 2023, section 3.3). `mix` and `leapfrog` are the sampler's. Wants 50 steps.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Edict {
    /// Pixels over which the edge of a mask is spread, as a tent of that half width along both axes.
    #[schema(minimum = 0, maximum = 256)]
    pub feather: u32,
    /// Guidance towards `source_prompt` on the way back; null: the request's, which gives the picture back where the prompts
    /// are the same, but breaks up other edits.
    #[schema(minimum = 0, maximum = 100)]
    pub source_guidance: Option<f64>,
}

impl Default for Edict {
    fn default() -> Self {
        Self { feather: 0, source_guidance: Some(1.0) }
    }
}

impl Paired for Edict {
    const SAMPLER: &'static str = "edict";
    const OPTION: &'static str = "mix";

    fn feather(&self) -> u32 {
        self.feather
    }

    fn source_guidance(&self) -> Option<f64> {
        self.source_guidance
    }
}
