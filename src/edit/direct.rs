use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Code, Cost, Invert, Method, Part, Target, Walker, attention::PromptToPrompt, ddim};
use crate::{
    error::{Fault, Result},
    guidance,
    process::{Grid, Level},
    sampler::{AnySolver, Run, along, combine},
};

/// DDIM inversion whose drift is taken out in closed form: at each step the noise is the one that retraces the picture's own
/// path, and guidance leads away from what the picture shows towards the wish. What null-text inversion finds by gradients,
/// without any (Ju et al. 2024, arXiv 2310.01506); with both prompts the same it gives the picture back exactly.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Direct {
    /// Pixels over which the edge of a mask is spread, as a tent of that half width along both axes.
    #[schema(minimum = 0, maximum = 256)]
    pub feather: u32,
}

impl Method for Direct {
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

impl Invert for Direct {
    fn source_guidance(&self) -> Option<f64> {
        Some(1.0)
    }

    fn lanes(&self) -> usize {
        2
    }

    fn parts(&self, steps: usize) -> Vec<(&'static str, Part)> {
        parts(steps)
    }

    fn cost(&self, grid: &Grid, _solver: &dyn AnySolver) -> Cost {
        cost(grid)
    }

    fn find<'a>(&'a self, run: Run, _solver: &'a dyn AnySolver) -> LocalBoxFuture<'a, Result<Code>> {
        Box::pin(found(run))
    }

    fn edit<'a>(&'a self, code: &'a Code, target: Target<'a>) -> LocalBoxFuture<'a, Result<Tensor>> {
        Box::pin(walked(code, beside(target), None))
    }
}

/// The tensors of a code that is retraced: a state at each level.
pub fn parts(steps: usize) -> Vec<(&'static str, Part)> {
    vec![("path", Part::States(steps + 1))]
}

/// An evaluation for each step of either half.
pub fn cost(grid: &Grid) -> Cost {
    Cost::of(grid.len(), grid.len())
}

/// The states at each level of a run's grid that DDIM leads back to.
///
/// # Errors
/// What the network fails with.
pub async fn found(run: Run) -> Result<Code> {
    Ok(Code::of("path", Tensor::stack(&ddim::path(&run, 1).await?, 1)))
}

/// What steps beside the walk: it is told of each, and may change where it leads.
pub type Control = Rc<PromptToPrompt>;

/// The states at the end of a run over two lanes, of which the first retraces the path of the code.
pub async fn walked(code: &Code, mut run: Run, control: Option<Control>) -> Result<Tensor> {
    let guidance = std::mem::replace(&mut run.denoiser.guidance, guidance::none());
    let mut x = code.state("path", 0);
    for (k, (from, to)) in run.grid.steps().enumerate() {
        let own = [code.state("path", k), code.state("path", k + 1)];
        if let Some(control) = &control {
            control.at(k, run.grid.len());
        }
        let asked = run.denoiser.denoise(&Tensor::cat(&[&own[0], &x], 0), &from).await?.eps;
        let [shown, wished] = halves(&asked);
        let guided = guidance::mixed(&*guidance, run.denoiser.grid.share(&from), [&shown, &wished]);
        let eps = combine(&[(1.0, &needed(&own, &from, &to)), (1.0, &guided), (-1.0, &shown)]);
        x = along(&x, &eps, (&from, &to));
        if let Some(control) = &control {
            control.settle();
            x = control.blend(&own[1], &x);
        }
    }
    Ok(x)
}

/// The run with the source's rows, which nothing guides, before its own.
pub fn beside(target: Target) -> Run {
    let Target { mut run, source, .. } = target;
    let own = &run.denoiser.network.conditions;
    run.denoiser.network.conditions = own.after(&[&source]);
    run.denoiser.lanes = 2;
    run
}

/// Rows of two lanes.
fn halves(rows: &Tensor) -> [Tensor; 2] {
    let n = rows.size()[0] / 2;
    [rows.narrow(0, 0, n), rows.narrow(0, n, n)]
}

/// The noise with which DDIM goes from one state to the other.
fn needed([x, next]: &[Tensor; 2], from: &Level, to: &Level) -> Tensor {
    let kept = to.alpha / from.alpha;
    let share = 1.0 / (to.sigma - kept * from.sigma);
    combine(&[(share, next), (-share * kept, x)])
}
