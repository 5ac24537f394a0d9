use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Run, Solver, combine};
use crate::{
    error::Result,
    process::{Grid, Level},
};

/// EDICT: two coupled states, each moved by the noise at the other and then mixed, which makes the walk exactly reversible
/// (Wallace et al. 2023, arXiv 2211.12446, eq. 11 to 14). Wants 50 steps: with fewer, under guidance, pictures break up.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Edict {
    /// What a state keeps of itself when the two are mixed; 1 never mixes them.
    #[schema(minimum = 0.5, maximum = 1)]
    pub mix: f64,
    /// Whether the two take turns at going first.
    pub leapfrog: bool,
}

impl Default for Edict {
    fn default() -> Self {
        Self { mix: 0.93, leapfrog: true }
    }
}

impl Solver for Edict {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        Some(2 * grid.len() - usize::from(grid.last().sigma == 0.0))
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(async move {
            let mut pair = [run.x.shallow_clone(), run.x.shallow_clone()];
            for (index, (from, to)) in run.grid.steps().enumerate() {
                let first = if self.leapfrog { index % 2 } else { 0 };
                self.step(&run, &mut pair, first, (&from, &to)).await?;
            }
            let [x, _] = pair;
            Ok(x)
        })
    }
}

impl Edict {
    async fn step(&self, run: &Run, pair: &mut [Tensor; 2], first: usize, way: (&Level, &Level)) -> Result<()> {
        let second = 1 - first;
        pair[first] = moved(run, &pair[first], &pair[second], way).await?;
        // A clean picture has no noise that could move the other.
        if way.1.sigma == 0.0 {
            pair[second] = pair[first].shallow_clone();
            return Ok(());
        }
        pair[second] = moved(run, &pair[second], &pair[first], way).await?;
        pair[first] = combine(&[(self.mix, &pair[first]), (1.0 - self.mix, &pair[second])]);
        pair[second] = combine(&[(self.mix, &pair[second]), (1.0 - self.mix, &pair[first])]);
        Ok(())
    }
}

/// `x' = (alpha' / alpha) x + (sigma' - (alpha' / alpha) sigma) eps(other)`; from pure noise DDIM's step from the other.
async fn moved(run: &Run, x: &Tensor, other: &Tensor, (from, to): (&Level, &Level)) -> Result<Tensor> {
    let estimate = run.denoiser.denoise(other, from).await?;
    if from.alpha == 0.0 {
        return Ok(combine(&[(to.alpha, &estimate.x0), (to.sigma, &estimate.eps)]));
    }
    let kept = to.alpha / from.alpha;
    Ok(combine(&[(kept, x), (to.sigma - kept * from.sigma, &estimate.eps)]))
}
