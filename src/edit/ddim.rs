use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Code, Cost, Invert, Method, Part, Target, Walker};
use crate::{
    error::{Fault, Result},
    process::Grid,
    sampler::{AnySolver, Run, along},
};

/// DDIM walked backwards from the picture to noise, and any sampler's way down from there under another prompt (Song et al.
/// 2021, section 4.3; Dhariwal and Nichol 2021, appendix F). It drifts: the way back is exact only for infinitely many
/// steps, or as `iterations` grows.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Ddim {
    /// Pixels over which the edge of a mask is spread, as a tent of that half width along both axes.
    #[schema(minimum = 0, maximum = 256)]
    pub feather: u32,
    /// Guidance towards `source_prompt` on the way back; 1: the prompt alone.
    #[schema(minimum = 0, maximum = 100)]
    pub source_guidance: f64,
    /// Evaluations in each step back: 1 takes the noise at the step's clean end, each further one that at the noisy end as
    /// it was found before, which is what the way down will ask (Pan et al. 2023, arXiv 2309.04907, fixed points).
    #[schema(minimum = 1, maximum = 20)]
    pub iterations: u32,
}

impl Default for Ddim {
    fn default() -> Self {
        Self { feather: 0, source_guidance: 1.0, iterations: 1 }
    }
}

impl Method for Ddim {
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

/// The states `[n, C, h, w]` at each level of a run's grid, noisy to clean, that DDIM leads back to from the clean one.
///
/// # Errors
/// What the network fails with.
pub async fn path(run: &Run, iterations: u32) -> Result<Vec<Tensor>> {
    let mut path = vec![run.x.shallow_clone()];
    let steps: Vec<_> = run.grid.steps().collect();
    for (noisy, clean) in steps.iter().rev() {
        let x = path.last().map(Tensor::shallow_clone).expect("the clean state is there");
        let mut found = x.shallow_clone();
        for _ in 0..iterations {
            let eps = run.denoiser.denoise(&found, noisy).await?.eps;
            found = along(&x, &eps, (clean, noisy));
        }
        path.push(found);
    }
    path.reverse();
    Ok(path)
}

impl Invert for Ddim {
    fn source_guidance(&self) -> Option<f64> {
        Some(self.source_guidance)
    }

    fn parts(&self, _steps: usize) -> Vec<(&'static str, Part)> {
        vec![("start", Part::State)]
    }

    fn cost(&self, grid: &Grid, solver: &dyn AnySolver) -> Cost {
        let invert = grid.len() * self.iterations as usize;
        Cost { invert: Some(invert), edit: solver.evaluations(grid), most: invert + solver.most(grid) }
    }

    fn find<'a>(&'a self, run: Run, _solver: &'a dyn AnySolver) -> LocalBoxFuture<'a, Result<Code>> {
        Box::pin(async move {
            let path = path(&run, self.iterations).await?;
            Ok(Code::of("start", path[0].shallow_clone()))
        })
    }

    fn edit<'a>(&'a self, code: &'a Code, target: Target<'a>) -> LocalBoxFuture<'a, Result<Tensor>> {
        target.solver.sample(Run { x: code.get("start").shallow_clone(), ..target.run })
    }
}
