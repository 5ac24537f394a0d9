use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::paired::Paired;

/// BDIA walked backwards to two neighbouring states, and forwards from both under another prompt; exact but for rounding
/// (Zhang et al. 2024, section 4.2). `gamma` is the sampler's.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Bdia {
    /// Pixels over which the edge of a mask is spread, as a tent of that half width along both axes.
    #[schema(minimum = 0, maximum = 256)]
    pub feather: u32,
    /// Guidance towards `source_prompt` on the way back; null: the request's, which gives the picture back where the prompts
    /// are the same, but breaks up other edits.
    #[schema(minimum = 0, maximum = 100)]
    pub source_guidance: Option<f64>,
}

impl Default for Bdia {
    fn default() -> Self {
        Self { feather: 0, source_guidance: Some(1.0) }
    }
}

impl Paired for Bdia {
    const SAMPLER: &'static str = "bdia";
    const OPTION: &'static str = "gamma";

    fn feather(&self) -> u32 {
        self.feather
    }

    fn source_guidance(&self) -> Option<f64> {
        self.source_guidance
    }

    fn sampler() -> Value {
        json!({ "name": "bdia", "gamma": 0.96 })
    }
}
