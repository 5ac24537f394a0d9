use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Code, Cost, Invert, Method, Part, Target, Walker, paired};
use crate::{
    error::{Fault, Result},
    process::Grid,
    sampler::{AnySolver, Run},
};

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

impl Method for Bdia {
    fn strength(&self) -> f64 {
        0.8
    }

    fn feather(&self) -> u32 {
        self.feather
    }

    fn sampler(&self) -> Option<serde_json::Value> {
        Some(serde_json::json!({ "name": "bdia", "gamma": 0.96 }))
    }

    fn carried_by(&self, walker: &Walker) -> Result<(), Fault> {
        paired::carried_by(walker, "bdia", "gamma")
    }

    fn invert(&self) -> Option<&dyn Invert> {
        Some(self)
    }
}

impl Invert for Bdia {
    fn source_guidance(&self) -> Option<f64> {
        self.source_guidance
    }

    fn parts(&self, _steps: usize) -> Vec<(&'static str, Part)> {
        paired::parts()
    }

    fn cost(&self, grid: &Grid, solver: &dyn AnySolver) -> Cost {
        paired::cost(grid, solver)
    }

    fn find<'a>(&'a self, run: Run, solver: &'a dyn AnySolver) -> LocalBoxFuture<'a, Result<Code>> {
        paired::find(run, solver)
    }

    fn edit<'a>(&'a self, code: &'a Code, target: Target<'a>) -> LocalBoxFuture<'a, Result<Tensor>> {
        paired::edit(code, target)
    }
}
