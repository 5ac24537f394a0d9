use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{
    Code, Cost, Invert, Method, Part, Target, Walker, Words,
    attention::{self, CrossControl, Layout},
    direct::{self, beside, walked},
    invert::needs_text,
};
use crate::{
    error::{Fault, Result},
    guidance::Guidance,
    process::Grid,
    sampler::{AnySolver, Run},
};

/// Prompt-to-Prompt on a given picture: as `direct`, while the attention of the picture's own path shapes that of the wish
/// (Hertz et al. 2023, arXiv 2208.01626; on pictures by the closed form of null-text inversion).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PromptToPrompt {
    /// Pixels over which the edge of a mask is spread, as a tent of that half width along both axes.
    #[schema(minimum = 0, maximum = 256)]
    pub feather: u32,
    /// How the one shapes the other.
    #[schema(inline)]
    pub attention: CrossControl,
}

impl Method for PromptToPrompt {
    fn feather(&self) -> u32 {
        self.feather
    }

    fn sampler(&self) -> Option<serde_json::Value> {
        Some("ddim".into())
    }

    fn carried_by(&self, walker: &Walker) -> Result<(), Fault> {
        walker.is_plain_ddim()
    }

    fn invert(&self) -> Option<&dyn Invert> {
        Some(self)
    }
}

impl PromptToPrompt {
    fn plan(&self, words: Option<&Words>) -> Result<attention::CrossPlan, Fault> {
        let words = needs_text(words)?;
        let plan = self.attention.plan([&words.source, &words.wish], words.read);
        plan.map_err(|fault| fault.under("/method/attention"))
    }
}

impl Invert for PromptToPrompt {
    fn source_guidance(&self) -> Option<f64> {
        Some(1.0)
    }

    fn parts(&self, steps: usize) -> Vec<(&'static str, Part)> {
        direct::parts(steps)
    }

    fn later(&self) -> &'static [&'static str] {
        &["feather", "attention"]
    }

    fn finds_words(&self) -> bool {
        true
    }

    fn lanes(&self) -> usize {
        2
    }

    fn suits(&self, words: Option<&Words>, _guidance: &dyn Guidance) -> Result<(), Fault> {
        self.plan(words).map(drop)
    }

    fn cost(&self, grid: &Grid, _solver: &dyn AnySolver) -> Cost {
        direct::cost(grid)
    }

    fn find<'a>(&'a self, run: Run, _solver: &'a dyn AnySolver) -> LocalBoxFuture<'a, Result<Code>> {
        Box::pin(direct::found(run))
    }

    fn edit<'a>(&'a self, code: &'a Code, target: Target<'a>) -> LocalBoxFuture<'a, Result<Tensor>> {
        Box::pin(async move {
            let plan = self.plan(target.words)?;
            let mut run = beside(target);
            let size = run.x.size();
            let layout = Layout::new(size[0], &[0, size[0]]);
            let (own, latent) = (self.attention.clone(), [size[2], size[3]]);
            let control = Rc::new(attention::PromptToPrompt::new(own, plan, layout, latent, run.x.device()));
            run.denoiser.tap = Some(control.clone());
            walked(code, run, Some(control)).await
        })
    }
}
