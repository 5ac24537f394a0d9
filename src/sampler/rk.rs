use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Run, Solver, combine, tableau::Tableau};
use crate::{
    denoiser::Estimate,
    error::Result,
    process::{Grid, Level},
};

/// A Runge-Kutta method on the probability flow; a step from pure noise in `ratio`, or into `sigma = 0`, is Euler's.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Rk {
    /// Which.
    #[schema(inline)]
    pub tableau: Tableau,
    /// What it steps in.
    #[schema(inline)]
    pub coordinate: Coordinate,
}

/// What a Runge-Kutta method steps in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Coordinate {
    /// `dy / ds = eps`, `y = x / alpha`, `s = sigma / alpha` (Karras et al. 2022, eq. 1).
    Ratio,
    /// `dw / du = eps - x0`, `w = x / (alpha + sigma)`, `u = sigma / (alpha + sigma)`: the straight path of flow matching
    /// (Lipman et al. 2023), onto which every process can be brought.
    Flow,
}

impl Default for Rk {
    fn default() -> Self {
        Self { tableau: Tableau::Rk4, coordinate: Coordinate::Ratio }
    }
}

impl Solver for Rk {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        let stages = self.tableau.butcher().nodes.len();
        Some(grid.steps().map(|(from, to)| if self.coordinate.allows(&from, &to) { stages } else { 1 }).sum())
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(async move {
            let mut x = run.x.shallow_clone();
            for (from, to) in run.grid.steps() {
                x = self.step(&run, &x, &from, &to).await?;
            }
            Ok(x)
        })
    }
}

impl Coordinate {
    fn allows(self, from: &Level, to: &Level) -> bool {
        to.sigma > 0.0 && (self == Self::Flow || from.ratio().is_finite())
    }

    /// Place, and what x is divided by.
    fn of(self, level: &Level) -> (f64, f64) {
        match self {
            Self::Ratio => (level.ratio(), level.alpha),
            Self::Flow => (level.sigma / (level.alpha + level.sigma), level.alpha + level.sigma),
        }
    }

    fn level(self, run: &Run, place: f64) -> Level {
        match self {
            Self::Ratio => run.process.at_ratio(place),
            Self::Flow => run.process.at_ratio(place / (1.0 - place)),
        }
    }

    /// Weights of clean picture and noise in the slope.
    fn slope(self) -> (f64, f64) {
        match self {
            Self::Ratio => (0.0, 1.0),
            Self::Flow => (-1.0, 1.0),
        }
    }
}

impl Rk {
    /// The state `[n, C, h, w]` at `to` from `x` at `from`.
    ///
    /// # Errors
    /// What the network fails with.
    pub async fn step(&self, run: &Run, x: &Tensor, from: &Level, to: &Level) -> Result<Tensor> {
        let first = run.denoiser.denoise(x, from).await?;
        if !self.coordinate.allows(from, to) {
            return Ok(combine(&[(to.alpha, &first.x0), (to.sigma, &first.eps)]));
        }
        let butcher = self.tableau.butcher();
        let mut slopes = vec![first];
        for (node, weights) in butcher.nodes.iter().zip(butcher.stages).skip(1) {
            let (start, _) = self.coordinate.of(from);
            let (end, _) = self.coordinate.of(to);
            let level = if *node == 1.0 { *to } else { self.coordinate.level(run, start + node * (end - start)) };
            let state = self.moved(&slopes, weights, from, to, &level);
            slopes.push(run.denoiser.denoise(&state, &level).await?);
        }
        Ok(self.moved(&slopes, butcher.weights, from, to, to))
    }

    /// From `from` on along the weighed slopes of a step to `to`, as a state at `at`.
    fn moved(&self, slopes: &[Estimate], weights: &[f64], from: &Level, to: &Level, at: &Level) -> Tensor {
        let ((start, scale), (end, _), (_, scale_at)) =
            (self.coordinate.of(from), self.coordinate.of(to), self.coordinate.of(at));
        let first = &slopes[0];
        // x at the start, from its own estimate: guidance may have moved one but not the other.
        let mut terms = vec![(scale_at / scale * from.alpha, &first.x0), (scale_at / scale * from.sigma, &first.eps)];
        let (x0, eps) = self.coordinate.slope();
        for (weight, slope) in weights.iter().zip(slopes) {
            let length = scale_at * (end - start) * weight;
            terms.extend([(length * x0, &slope.x0), (length * eps, &slope.eps)]);
        }
        combine(&terms)
    }
}
