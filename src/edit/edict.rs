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

impl Method for Edict {
    fn strength(&self) -> f64 {
        0.8
    }

    fn feather(&self) -> u32 {
        self.feather
    }

    fn sampler(&self) -> Option<serde_json::Value> {
        Some("edict".into())
    }

    fn carried_by(&self, walker: &Walker) -> Result<(), Fault> {
        paired::carried_by(walker, "edict", "mix")
    }

    fn invert(&self) -> Option<&dyn Invert> {
        Some(self)
    }
}

impl Invert for Edict {
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
