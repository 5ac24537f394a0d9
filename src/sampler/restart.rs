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
    process::{Grid, Level, Process},
};

/// Restart: Heun's method, and at a low level noise up to a higher one and down again, some times over (Xu et al. 2023,
/// arXiv 2306.14878, algorithm 2).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Restart {
    /// Where it restarts: at the schedule's level nearest to this sigma / alpha.
    #[schema(minimum = 1e-3, maximum = 1e3)]
    pub low: f64,
    /// Up to which sigma / alpha; where that is not above the level, it never restarts.
    #[schema(minimum = 1e-3, maximum = 1e3)]
    pub high: f64,
    /// Steps down again, spaced as Karras et al. 2022, eq. 5, have it.
    #[schema(minimum = 1, maximum = 100)]
    pub steps: u32,
    /// How often.
    #[schema(minimum = 1, maximum = 20)]
    pub times: u32,
    /// Scale of the fresh noise.
    #[schema(minimum = 0, maximum = 2)]
    pub s_noise: f64,
}

/// Of the spacing on the way down.
const RHO: f64 = 7.0;
const HEUN: Rk = Rk { tableau: Tableau::Heun, coordinate: Coordinate::Ratio };

impl Default for Restart {
    fn default() -> Self {
        Self { low: 0.1, high: 2.0, steps: 5, times: 1, s_noise: 1.0 }
    }
}

impl Restart {
    /// The index of the grid's level at which it restarts.
    fn place(&self, grid: &Grid) -> Option<usize> {
        let inner = grid.levels().iter().enumerate().skip(1).filter(|(_, level)| level.sigma > 0.0);
        let far = |level: &Level| (level.ratio() / self.low).ln().abs();
        let nearest = inner.min_by(|a, b| far(a.1).total_cmp(&far(b.1)));
        nearest.filter(|(_, level)| level.ratio() < self.high).map(|(at, _)| at)
    }

    /// The levels from the high one down.
    fn way(&self, low: &Level, process: &dyn Process) -> Vec<Level> {
        let (high, end) = (self.high.powf(1.0 / RHO), low.ratio().powf(1.0 / RHO));
        let between = |k: u32| (high + (end - high) * f64::from(k) / f64::from(self.steps)).powf(RHO);
        (0..self.steps).map(|k| process.at_ratio(between(k))).chain([*low]).collect()
    }
}

impl Solver for Restart {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        let again = self.place(grid).map_or(0, |_| 2 * self.steps * self.times);
        HEUN.evaluations(grid).map(|once| once + again as usize)
    }

    fn stochastic(&self) -> bool {
        self.s_noise > 0.0
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(async move {
            let place = self.place(&run.grid);
            let mut x = run.x.shallow_clone();
            for (index, (from, to)) in run.grid.steps().enumerate() {
                x = HEUN.step(&run, &x, &from, &to).await?;
                if place == Some(index + 1) {
                    for time in 0..self.times {
                        x = self.again(&run, &x, &to, time).await?;
                    }
                }
            }
            Ok(x)
        })
    }
}

impl Restart {
    async fn again(&self, run: &Run, x: &Tensor, low: &Level, time: u32) -> Result<Tensor> {
        let way = self.way(low, &*run.process);
        let high = way[0];
        let added = high.alpha * self.s_noise * (high.ratio() * high.ratio() - low.ratio() * low.ratio()).sqrt();
        let mut x = combine(&[(high.alpha / low.alpha, x), (added, &run.noise.step(time))]);
        for pair in way.windows(2) {
            x = HEUN.step(run, &x, &pair[0], &pair[1]).await?;
        }
        Ok(x)
    }
}
