use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{
    Run, Solver, combine,
    rk::{Coordinate, Rk},
    tableau::Tableau,
};
use crate::{
    error::Result,
    process::{Grid, Level},
};

/// The stochastic sampler of EDM: some noise more, then a step of Euler or Heun (Karras et al. 2022, arXiv 2206.00364,
/// algorithm 2).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Edm {
    /// 1 Euler, 2 Heun.
    #[schema(minimum = 1, maximum = 2)]
    pub order: u32,
    /// How much noise is added, over all steps; 0 none. A step adds at most `sqrt(2) - 1` of what there is.
    #[schema(minimum = 0, maximum = 1000)]
    pub churn: f64,
    /// Least sigma / alpha at which noise is added.
    #[schema(minimum = 0, maximum = 1e6)]
    pub churn_min: f64,
    /// Greatest sigma / alpha at which noise is added.
    #[schema(minimum = 0, maximum = 1e6)]
    pub churn_max: f64,
    /// Scale of the added noise.
    #[schema(minimum = 0, maximum = 2)]
    pub s_noise: f64,
}

impl Default for Edm {
    fn default() -> Self {
        Self { order: 2, churn: 0.0, churn_min: 0.0, churn_max: 1e6, s_noise: 1.0 }
    }
}

impl Edm {
    fn rk(&self) -> Rk {
        let tableau = if self.order == 1 { Tableau::Euler } else { Tableau::Heun };
        Rk { tableau, coordinate: Coordinate::Ratio }
    }

    /// `x` with its noise raised by the step's share, and the level there.
    fn churned(&self, run: &Run, x: &Tensor, from: &Level, index: u32) -> (Tensor, Level) {
        let s = from.ratio();
        let gamma = (self.churn / run.grid.len() as f64).min(std::f64::consts::SQRT_2 - 1.0);
        if gamma == 0.0 || !s.is_finite() || s < self.churn_min || s > self.churn_max {
            return (x.shallow_clone(), *from);
        }
        let level = run.process.at_ratio(s * (1.0 + gamma));
        let added = level.alpha * self.s_noise * (level.ratio() * level.ratio() - s * s).max(0.0).sqrt();
        (combine(&[(level.alpha / from.alpha, x), (added, &run.noise.step(index))]), level)
    }
}

impl Solver for Edm {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        self.rk().evaluations(grid)
    }

    fn stochastic(&self) -> bool {
        self.churn > 0.0 && self.s_noise > 0.0
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(async move {
            let mut x = run.x.shallow_clone();
            for (index, (from, to)) in (0..).zip(run.grid.steps()) {
                let (raised, from) = self.churned(&run, &x, &from, index);
                x = self.rk().step(&run, &raised, &from, &to).await?;
            }
            Ok(x)
        })
    }
}
