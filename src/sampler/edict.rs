use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Reversible, Run, Solver, along, combine};
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

    fn reversible(&self) -> Option<&dyn Reversible> {
        Some(self)
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(async move {
            let mut pair = [run.x.shallow_clone(), run.x.shallow_clone()];
            for (index, (from, to)) in run.grid.steps().enumerate() {
                // A clean picture has no noise that could move the other.
                let order = self.order(index);
                if to.sigma == 0.0 {
                    return moved(&run, &pair[order[0]], &pair[order[1]], (&from, &to)).await;
                }
                self.step(&run, &mut pair, order, (&from, &to)).await?;
            }
            let [x, _] = pair;
            Ok(x)
        })
    }
}

impl Edict {
    /// Which of the two goes first at a step, and which second.
    fn order(&self, index: usize) -> [usize; 2] {
        if self.leapfrog && index % 2 == 1 { [1, 0] } else { [0, 1] }
    }

    async fn step(
        &self,
        run: &Run,
        pair: &mut [Tensor; 2],
        [first, second]: [usize; 2],
        way: (&Level, &Level),
    ) -> Result<()> {
        pair[first] = moved(run, &pair[first], &pair[second], way).await?;
        pair[second] = moved(run, &pair[second], &pair[first], way).await?;
        pair[first] = combine(&[(self.mix, &pair[first]), (1.0 - self.mix, &pair[second])]);
        pair[second] = combine(&[(self.mix, &pair[second]), (1.0 - self.mix, &pair[first])]);
        Ok(())
    }

    /// The inverse of [`Edict::step`].
    async fn back(
        &self,
        run: &Run,
        pair: &mut [Tensor; 2],
        [first, second]: [usize; 2],
        (from, to): (&Level, &Level),
    ) -> Result<()> {
        let (own, other) = (1.0 / self.mix, (self.mix - 1.0) / self.mix);
        pair[second] = combine(&[(own, &pair[second]), (other, &pair[first])]);
        pair[first] = combine(&[(own, &pair[first]), (other, &pair[second])]);
        for (state, told_by) in [(second, first), (first, second)] {
            let eps = run.denoiser.denoise(&pair[told_by], from).await?.eps;
            pair[state] = along(&pair[state], &eps, (to, from));
        }
        Ok(())
    }
}

/// A state moved by the noise at the other; from pure noise DDIM's step from the other.
async fn moved(run: &Run, x: &Tensor, other: &Tensor, (from, to): (&Level, &Level)) -> Result<Tensor> {
    let estimate = run.denoiser.denoise(other, from).await?;
    if from.alpha == 0.0 {
        return Ok(combine(&[(to.alpha, &estimate.x0), (to.sigma, &estimate.eps)]));
    }
    Ok(along(x, &estimate.eps, (from, to)))
}

/// The pair is the two coupled states of one level.
impl Reversible for Edict {
    fn forwards<'a>(&'a self, run: &'a Run, mut pair: [Tensor; 2]) -> LocalBoxFuture<'a, Result<Tensor>> {
        Box::pin(async move {
            for (index, (from, to)) in run.grid.steps().enumerate() {
                self.step(run, &mut pair, self.order(index), (&from, &to)).await?;
            }
            let [x, _] = pair;
            Ok(x)
        })
    }

    fn backwards<'a>(&'a self, run: &'a Run, x: &'a Tensor) -> LocalBoxFuture<'a, Result<[Tensor; 2]>> {
        Box::pin(async move {
            let mut pair = [x.shallow_clone(), x.shallow_clone()];
            let steps: Vec<_> = run.grid.steps().enumerate().collect();
            for (index, (from, to)) in steps.iter().rev() {
                self.back(run, &mut pair, self.order(*index), (from, to)).await?;
            }
            Ok(pair)
        })
    }

    fn evaluations(&self, steps: usize) -> [usize; 2] {
        [2 * steps; 2]
    }

    fn growth(&self, steps: usize) -> f64 {
        self.mix.powi(-i32::try_from(2 * steps).unwrap_or(i32::MAX))
    }
}
