use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{
    Run, Solver,
    rk::{Coordinate, Rk},
    tableau::Tableau,
};
use crate::{error::Result, process::Grid};

/// Heun's method of second order (Karras et al. 2022, algorithm 1); a step into `sigma = 0` is Euler's.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Heun {
    /// What it steps in: `ratio` sigma / alpha, `flow` sigma / (alpha + sigma); null: `flow` where the model's own path is
    /// straight, else `ratio`.
    #[schema(inline)]
    pub coordinate: Option<Coordinate>,
}

impl Heun {
    fn rk(&self, grid: &Grid) -> Rk {
        let straight = grid.levels().iter().all(|level| (level.alpha + level.sigma - 1.0).abs() < 1e-9);
        let own = if straight { Coordinate::Flow } else { Coordinate::Ratio };
        Rk { tableau: Tableau::Heun, coordinate: self.coordinate.unwrap_or(own) }
    }
}

impl Solver for Heun {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        self.rk(grid).evaluations(grid)
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        self.rk(&run.grid).sample(run)
    }
}
