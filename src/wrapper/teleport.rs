use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Partner, Wrapper};
use crate::{
    denoiser::Estimate,
    error::Result,
    process::{Grid, Level},
    sampler::{Run, combine},
};

/// Jumps over the noisy part of the path, on which data look like one Gaussian, along that Gaussian's exact path (Wang and
/// Vastola 2024, arXiv 2412.09726, eq. 9). Of the schedule the levels below remain.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Teleport {
    /// Down to the first level whose sigma / alpha is at most this. Without stored moments other pictures come out below
    /// about 10 times the spread of the data.
    #[schema(minimum = 0.1, maximum = 1e4)]
    pub until: f64,
    /// The Gaussian's mean: `network` what the network sees in the start, one evaluation, or `zero`, which is a
    /// restoring model's degraded picture.
    #[schema(inline)]
    pub mean: Mean,
    /// The Gaussian's variance, the same in all directions: that of data around the mean.
    #[schema(minimum = 0, maximum = 100)]
    pub variance: f64,
}

/// The mean of a Gaussian that stands in for data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mean {
    /// The network's clean picture at the start.
    Network,
    /// Zero, around the degraded picture where there is one.
    Zero,
}

/// Levels on the way whose estimates are handed on to multistep solvers.
const WARM: usize = 4;

impl Default for Teleport {
    fn default() -> Self {
        Self { until: 6.0, mean: Mean::Network, variance: 1.0 }
    }
}

impl Teleport {
    /// How many of the grid's steps are jumped over; one is left, and no jump ends in a clean picture.
    fn skipped(&self, grid: &Grid) -> usize {
        let above = grid.levels()[..grid.len()].iter().take_while(|level| level.ratio() > self.until).count();
        above.min(grid.len() - 1)
    }
}

impl Wrapper for Teleport {
    fn grid(&self, grid: Grid) -> Grid {
        grid.after(self.skipped(&grid)).expect("one step is left")
    }

    fn evaluations(&self, grid: &Grid) -> usize {
        usize::from(self.skipped(grid) > 0 && self.mean == Mean::Network)
    }

    fn apply<'a>(&'a self, run: &'a mut Run, _partner: Option<Partner>) -> LocalBoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let skipped = self.skipped(&run.grid);
            if skipped == 0 {
                return Ok(());
            }
            let start = run.grid.first();
            let mean = match self.mean {
                Mean::Network => run.denoiser.denoise(&run.x, &start).await?.x0,
                Mean::Zero => run.x.zeros_like(),
            };
            let scale = run.process.change(&run.process.clean()).scale;
            let gaussian = Gaussian { mean, variance: self.variance / (scale * scale) };
            let z = gaussian.place(&run.x, &start);
            let way = &run.grid.levels()[..skipped];
            run.warm = way.iter().rev().take(WARM).map(|level| (*level, gaussian.estimate(&z, level))).collect();
            run.x = gaussian.at(&z, &run.grid.levels()[skipped]);
            run.grid = self.grid(run.grid.clone());
            Ok(())
        })
    }
}

/// `N(mean, variance I)` over clean states.
struct Gaussian {
    mean: Tensor,
    variance: f64,
}

impl Gaussian {
    /// Standard deviation of the state around `alpha mean`.
    fn spread(&self, level: &Level) -> f64 {
        (level.sigma * level.sigma + level.alpha * level.alpha * self.variance).sqrt()
    }

    /// What stays the same along the path: the state's place in units of its spread.
    fn place(&self, x: &Tensor, level: &Level) -> Tensor {
        let spread = self.spread(level);
        combine(&[(1.0 / spread, x), (-level.alpha / spread, &self.mean)])
    }

    /// The state with that place.
    fn at(&self, place: &Tensor, level: &Level) -> Tensor {
        combine(&[(level.alpha, &self.mean), (self.spread(level), place)])
    }

    /// What a network of this Gaussian says of the state with that place.
    fn estimate(&self, place: &Tensor, level: &Level) -> Estimate {
        let spread = self.spread(level);
        let x0 = combine(&[(1.0, &self.mean), (self.variance * level.alpha / spread, place)]);
        Estimate { x0, eps: combine(&[(level.sigma / spread, place)]), range: None }
    }
}
