use std::{rc::Rc, sync::Arc};

use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use utoipa::ToSchema;

use super::{Code, Cost, Invert, Method, Part, Target, Walker, Words, adam::Adam, ddim, invert::needs_text};
use crate::{
    ask::{Conditioning, Loss},
    denoiser::Conditions,
    error::{Failure, Fault, Result},
    guidance::{self, Branch, Guidance},
    process::{Grid, Level},
    sampler::{AnySolver, Run, along},
};

/// Null-text inversion: along DDIM's way back the text of the negative branch is learned at each step, so that guidance
/// retraces that way (Mokady et al. 2023, arXiv 2211.09794, algorithm 1). It wants guidance other than 1, and takes
/// gradients through the network; `direct` finds the same in closed form.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct NullText {
    /// Pixels over which the edge of a mask is spread, as a tent of that half width along both axes.
    #[schema(minimum = 0, maximum = 256)]
    pub feather: u32,
    /// Steps of Adam at each step of the way, at most.
    #[schema(minimum = 1, maximum = 100)]
    pub iterations: u32,
    /// Of Adam, at the first step; it falls by a hundredth of that with each.
    #[schema(minimum = 0.000001, maximum = 1)]
    pub rate: f64,
    /// Mean square error at which the first step is good enough; each later one may be worse by twice that.
    #[schema(minimum = 0, maximum = 1)]
    pub tolerance: f64,
}

impl Default for NullText {
    fn default() -> Self {
        Self { feather: 0, iterations: 10, rate: 1e-2, tolerance: 1e-5 }
    }
}

impl Method for NullText {
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

/// The condition whose tensor is learned.
const TEXT: &str = "context";

/// One step of the way back, to be retraced: from the states x `[n, C, h, w]` to `next`.
struct Step<'a> {
    x: &'a Tensor,
    next: &'a Tensor,
    way: (Level, Level),
    index: usize,
}

impl NullText {
    /// The text that retraces a step, from what it was at the step before, and the state where it leads.
    async fn learned(
        &self,
        run: &Run,
        guidance: &Arc<dyn Guidance>,
        step: Step<'_>,
        null: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let Step { x, next, way: (from, to), index } = step;
        let shown = run.denoiser.denoise(x, &from).await?.eps;
        let (state, wanted, guide) = (x.shallow_clone(), next.shallow_clone(), guidance.clone());
        let share = run.denoiser.grid.share(&from);
        let walked = move |null: &Tensor| along(&state, &guidance::mixed(&*guide, share, [null, &shown]), (&from, &to));
        let walked = Rc::new(walked);
        let walk = walked.clone();
        let loss: Loss =
            Rc::new(move |eps| (walk(eps) - &wanted).square().mean_dim([1i64, 2, 3].as_slice(), false, None));
        let (mut null, mut adam) = (null.shallow_clone(), Adam::new(null));
        let good = self.tolerance * (1.0 + 2.0 * index as f64);
        let rate = self.rate * (1.0 - index as f64 / 100.0).max(0.01);
        for _ in 0..self.iterations {
            let graded = run.denoiser.graded(x, &from, under(run, &null), (TEXT, loss.clone())).await?;
            let errors = run.denoiser.net.read(&loss(&graded.eps)).await?;
            if errors.iter().all(|error| *error < good) {
                return Ok((null, walked(&graded.eps)));
            }
            null = adam.step(&null, &graded.gradient, rate);
        }
        let eps = run.denoiser.noise_under(x, &from, under(run, &null)).await?;
        Ok((null, walked(&eps)))
    }
}

/// The negative condition with another text.
fn under(run: &Run, null: &Tensor) -> Conditioning {
    run.denoiser.network.conditions.negative().clone().with(TEXT, null.shallow_clone())
}

impl Invert for NullText {
    fn source_guidance(&self) -> Option<f64> {
        None
    }

    fn parts(&self, steps: usize) -> Vec<(&'static str, Part)> {
        vec![("start", Part::State), ("null", Part::Texts(steps))]
    }

    fn suits(&self, words: Option<&Words>, guidance: &dyn Guidance) -> Result<(), Fault> {
        needs_text(words)?;
        match guidance.branches(0.0).contains(&Branch::Negative) {
            true => Ok(()),
            false => {
                let message = "must ask the negative branch, such as 7.5: at 1 what this method learns has no effect";
                Err(Fault::new("/guidance", message))
            }
        }
    }

    fn cost(&self, grid: &Grid, _solver: &dyn AnySolver) -> Cost {
        let most = grid.len() * (self.iterations as usize + 3);
        Cost { invert: None, edit: Some(grid.len()), most: most + grid.len() }
    }

    fn find<'a>(&'a self, mut run: Run, _solver: &'a dyn AnySolver) -> LocalBoxFuture<'a, Result<Code>> {
        Box::pin(async move {
            let guidance = std::mem::replace(&mut run.denoiser.guidance, guidance::none());
            let path = ddim::path(&run, 1).await?;
            let text = run.denoiser.network.conditions.negative().get(TEXT);
            let text = text.ok_or_else(|| Failure::Internal("the model reads no text".into()))?;
            let (mut null, mut nulls, mut x) = (text.shallow_clone(), Vec::new(), path[0].shallow_clone());
            for (index, way) in run.grid.steps().enumerate() {
                let step = Step { x: &x, next: &path[index + 1], way, index };
                (null, x) = self.learned(&run, &guidance, step, &null).await?;
                nulls.push(null.to_kind(x.kind()));
            }
            Ok(Code::of("start", path[0].shallow_clone()).with("null", Tensor::stack(&nulls, 1)))
        })
    }

    fn edit<'a>(&'a self, code: &'a Code, target: Target<'a>) -> LocalBoxFuture<'a, Result<Tensor>> {
        let mut run = target.run;
        Box::pin(async move {
            let mut x = code.get("start").shallow_clone();
            for (k, (from, to)) in run.grid.clone().steps().enumerate() {
                let null = code.state("null", k).to_kind(Kind::Float);
                let positive = run.denoiser.network.conditions.positive().clone();
                run.denoiser.network.conditions = Conditions::new(positive, under(&run, &null));
                let eps = run.denoiser.denoise(&x, &from).await?.eps;
                x = along(&x, &eps, (&from, &to));
            }
            Ok(x)
        })
    }
}
