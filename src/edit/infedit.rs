use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{
    Code, Cost, Invert, Method, Part, Target, Walker, Words,
    attention::{Layout, Unified, UnifiedControl, UnifiedPlan},
    invert::needs_text,
};
use crate::{
    denoiser::{Anchor, Conditions, Estimate},
    error::{Failure, Fault, Result},
    guidance::Guidance,
    process::{Grid, Level},
    sampler::{AnySolver, Run, combine},
};

/// Editing without inversion: beside the picture walks the source, whose noise is known at every level, and the difference of
/// what the network says under both prompts moves the picture (Xu et al. 2024, eq. 10 to 13). Only the wish is guided: with
/// both prompts the same and guidance 1 it gives the picture back. It serves any sampler: `lcm` is the paper's, for models distilled to few steps; others do
/// better with `ddim`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct InfEdit {
    /// Pixels over which the edge of a mask is spread, as a tent of that half width along both axes.
    #[schema(minimum = 0, maximum = 256)]
    pub feather: u32,
    /// Attention control, with a third lane that keeps the source's layout; null: none.
    #[schema(inline)]
    pub attention: Option<UnifiedControl>,
}

impl Method for InfEdit {
    fn feather(&self) -> u32 {
        self.feather
    }

    fn sampler(&self) -> Option<serde_json::Value> {
        Some("ddim".into())
    }

    fn carried_by(&self, walker: &Walker) -> Result<(), Fault> {
        walker.bare()?;
        walker.has_signal()
    }

    fn invert(&self) -> Option<&dyn Invert> {
        Some(self)
    }
}

/// What is known of the lanes: the first is the source, whose clean states are given, and the last the picture.
struct Virtual {
    /// `[n, C, h, w]`
    source: Tensor,
    lanes: i64,
    control: Option<Rc<Unified>>,
    /// From which the control learns how far it is.
    grid: Grid,
}

impl Virtual {
    fn lane(&self, rows: &Tensor, lane: i64) -> Tensor {
        let n = self.source.size()[0];
        rows.narrow(0, lane * n, n)
    }

    /// The clean states of all lanes with those of the picture blended.
    fn blended(&self, x0: Tensor, level: &Level) -> Tensor {
        let Some(control) = &self.control else { return x0 };
        control.settle();
        let [source, layout, own] = [0, 1, 2].map(|lane| self.lane(&x0, lane));
        let own = control.blend([&source, &own, &layout], level.alpha);
        Tensor::cat(&[source, layout, own], 0)
    }
}

impl Anchor for Virtual {
    fn seen(&self, x: &Tensor, level: &Level) -> Tensor {
        if let Some(control) = &self.control {
            let steps = self.grid.len();
            control.at((self.grid.share(level) * steps as f64).round() as usize, steps);
        }
        x.shallow_clone()
    }

    /// `x0 = x0_source + D(x) - D(x_source)` and `eps = eps_source + e(x) - e(x_source)`, where D and e are the network's and
    /// `eps_source = (x_source - alpha x0_source) / sigma`.
    fn held(&self, x: &Tensor, level: &Level, estimate: Estimate) -> Estimate {
        let all = |rows: &Tensor| rows.repeat([self.lanes, 1, 1, 1]);
        let eps = combine(&[(1.0 / level.sigma, &self.lane(x, 0)), (-level.alpha / level.sigma, &self.source)]);
        let moved = |said: &Tensor, known: &Tensor| combine(&[(1.0, said), (1.0, &all(&(known - self.lane(said, 0))))]);
        let x0 = self.blended(moved(&estimate.x0, &self.source), level);
        Estimate { x0, eps: moved(&estimate.eps, &eps), range: estimate.range }
    }
}

impl InfEdit {
    fn plan(&self, control: &UnifiedControl, words: Option<&Words>) -> Result<UnifiedPlan, Fault> {
        let words = needs_text(words)?;
        let plan = control.plan([&words.source, &words.wish], words.read);
        plan.map_err(|fault| fault.under("/method/attention"))
    }

    /// The attention control of a run whose lanes are the source, its layout and the picture.
    fn control(&self, run: &Run, source: &Conditions, words: Option<&Words>) -> Result<Option<Rc<Unified>>> {
        let Some(control) = &self.attention else { return Ok(None) };
        let plan = self.plan(control, words)?;
        let size = run.x.size();
        let n = size[0];
        let branches = i64::try_from(run.denoiser.guidance.branches(0.0).len()).expect("few branches");
        let layout = Layout::new(n, &[0, (1 + branches) * n, n]);
        let text = |conditions: &Conditions| {
            let text = conditions.positive().get("context").map(|text| text.narrow(0, 0, 1));
            text.ok_or_else(|| Failure::Internal("the model reads no text".into()))
        };
        let [shown, wished] = [text(source)?, text(&run.denoiser.network.conditions)?];
        Ok(Some(Rc::new(Unified::new(control.clone(), plan, layout, [size[2], size[3]], [&shown, &wished]))))
    }
}

impl Invert for InfEdit {
    fn source_guidance(&self) -> Option<f64> {
        Some(1.0)
    }

    fn parts(&self, _steps: usize) -> Vec<(&'static str, Part)> {
        Vec::new()
    }

    fn finds_words(&self) -> bool {
        self.attention.is_some()
    }

    fn lanes(&self) -> usize {
        if self.attention.is_some() { 3 } else { 2 }
    }

    fn suits(&self, words: Option<&Words>, guidance: &dyn Guidance) -> Result<(), Fault> {
        let Some(control) = &self.attention else { return Ok(()) };
        let rows = |share: f64| guidance.branches(share).len();
        if (1..100).any(|k| rows(f64::from(k) / 100.0) != rows(0.0)) {
            return Err(Fault::new("/guidance", "must be the same at every step for attention control"));
        }
        self.plan(control, words).map(drop)
    }

    fn cost(&self, grid: &Grid, solver: &dyn AnySolver) -> Cost {
        Cost { invert: Some(0), edit: solver.evaluations(grid), most: solver.most(grid) }
    }

    fn find<'a>(&'a self, run: Run, _solver: &'a dyn AnySolver) -> LocalBoxFuture<'a, Result<Code>> {
        Box::pin(async move { Ok(Code::of("picture", run.x)) })
    }

    fn edit<'a>(&'a self, code: &'a Code, target: Target<'a>) -> LocalBoxFuture<'a, Result<Tensor>> {
        Box::pin(async move {
            let Target { mut run, source: shown, solver, words, .. } = target;
            let control = self.control(&run, &shown, words)?;
            let (lanes, source) = (self.lanes(), code.get("picture").shallow_clone());
            let (n, own) = (source.size()[0], &run.denoiser.network.conditions);
            run.denoiser.network.conditions = own.after(&vec![&shown; lanes - 1]);
            run.denoiser.tap = control.clone().map(|control| control as _);
            run.noise = run.noise.lanes(lanes);
            let (level, lanes) = (run.grid.first(), i64::try_from(lanes).expect("few lanes"));
            run.denoiser.lanes = lanes;
            run.x = &source.repeat([lanes, 1, 1, 1]) * level.alpha + run.noise.start() * level.sigma;
            let grid = run.denoiser.grid.clone();
            run.denoiser.anchor = Some(Box::new(Virtual { source, lanes, control, grid }));
            Ok(solver.sample(run).await?.narrow(0, (lanes - 1) * n, n))
        })
    }
}
