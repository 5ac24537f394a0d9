use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Code, Cost, Invert, Method, Part, Target, Walker};
use crate::{
    denoiser::{Anchor, Estimate},
    error::{Fault, Result},
    process::{Grid, Level},
    sampler::{AnySolver, Run, combine},
};

/// Editing without inversion: beside the picture walks the source, whose noise is known at every level, and the difference of
/// what the network says under both prompts moves the picture (Xu et al. 2024, eq. 10 to 13). With both prompts the same it
/// gives the picture back. It serves any sampler; `lcm` is the paper's, for models distilled to few steps.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct InfEdit {
    /// Pixels over which the edge of a mask is spread, as a tent of that half width along both axes.
    #[schema(minimum = 0, maximum = 256)]
    pub feather: u32,
}

impl Method for InfEdit {
    fn strength(&self) -> f64 {
        1.0
    }

    fn feather(&self) -> u32 {
        self.feather
    }

    fn sampler(&self) -> Option<serde_json::Value> {
        Some("lcm".into())
    }

    fn carried_by(&self, walker: &Walker) -> Result<(), Fault> {
        walker.bare()?;
        walker.has_signal()
    }

    fn invert(&self) -> Option<&dyn Invert> {
        Some(self)
    }
}

/// What is known of the lanes: the first is the source, whose clean states are given.
struct Virtual {
    /// `[n, C, h, w]`
    source: Tensor,
    lanes: i64,
}

impl Anchor for Virtual {
    /// `x0 = x0_source + D(x) - D(x_source)` and `eps = eps_source + e(x) - e(x_source)`, where D and e are the network's and
    /// `eps_source = (x_source - alpha x0_source) / sigma`.
    fn held(&self, x: &Tensor, level: &Level, estimate: Estimate) -> Estimate {
        let lane = |rows: &Tensor| rows.narrow(0, 0, self.source.size()[0]);
        let all = |rows: &Tensor| rows.repeat([self.lanes, 1, 1, 1]);
        let eps = combine(&[(1.0 / level.sigma, &lane(x)), (-level.alpha / level.sigma, &self.source)]);
        let moved = |said: &Tensor, known: &Tensor| combine(&[(1.0, said), (1.0, &all(&(known - lane(said))))]);
        Estimate { x0: moved(&estimate.x0, &self.source), eps: moved(&estimate.eps, &eps), range: estimate.range }
    }
}

impl Invert for InfEdit {
    fn source_guidance(&self) -> Option<f64> {
        Some(1.0)
    }

    fn parts(&self, _steps: usize) -> Vec<(&'static str, Part)> {
        Vec::new()
    }

    fn lanes(&self) -> usize {
        2
    }

    fn cost(&self, grid: &Grid, solver: &dyn AnySolver) -> Cost {
        Cost { invert: Some(0), edit: solver.evaluations(grid), most: solver.most(grid) }
    }

    fn find<'a>(&'a self, run: &'a Run, _solver: &'a dyn AnySolver) -> LocalBoxFuture<'a, Result<Code>> {
        Box::pin(async move { Ok(Code::of("picture", run.x.shallow_clone())) })
    }

    fn edit<'a>(&'a self, code: &'a Code, target: Target<'a>) -> LocalBoxFuture<'a, Result<Tensor>> {
        let solver = target.solver;
        let mut run = super::direct::beside(target);
        let source = code.get("picture").shallow_clone();
        let (n, level) = (source.size()[0], run.grid.first());
        run.noise = run.noise.lanes(2);
        run.x = &source.repeat([2, 1, 1, 1]) * level.alpha + run.noise.start() * level.sigma;
        run.denoiser.anchor = Some(Box::new(Virtual { source, lanes: 2 }));
        Box::pin(async move { Ok(solver.sample(run).await?.narrow(0, n, n)) })
    }
}
