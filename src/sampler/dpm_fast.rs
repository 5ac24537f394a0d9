use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{
    Run, Solver,
    exponential::{Difference, Form},
    singlestep::Singlestep,
};
use crate::{
    error::Result,
    process::{Grid, Level, Process},
};

/// DPM-Solver-fast: N evaluations in steps of order 3, equal in lambda, and a shorter last one (Lu et al. 2022,
/// arXiv 2206.00927, section 3.4). Of the schedule only the ends and the number count; a step into a clean picture takes one
/// of the evaluations.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DpmFast {}

impl Solver for DpmFast {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        Some(grid.len())
    }

    fn sample(self, mut run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        let sizes = sizes(&run.grid);
        run.grid = respaced(&run.grid, &*run.process);
        let (form, difference) = (Form::Noise, Difference::Midpoint);
        Box::pin(Singlestep { form, difference, order: 3, lower_order_final: false }.through(run, sizes))
    }
}

/// How many of the grid's steps each step takes: the one from noise alone and the one into a clean picture stay by
/// themselves.
fn sizes(grid: &Grid) -> Vec<usize> {
    let Some(inner) = finite(grid).len().checked_sub(1) else { return vec![1; grid.len()] };
    let (before, after) = (grid.first().alpha == 0.0, grid.last().sigma == 0.0);
    let ends = [before, after].map(|there| there.then_some(1));
    ends[0].into_iter().chain(groups(inner)).chain(ends[1]).collect()
}

/// The grid's levels anew: outer ones equal in lambda, inner ones equal between them. Its first level stays where it has no
/// signal, and its last where it has no noise.
fn respaced(grid: &Grid, process: &dyn Process) -> Grid {
    let inner = finite(grid);
    if inner.is_empty() {
        return grid.clone();
    }
    let (from, to) = (inner[0].lambda(), inner[inner.len() - 1].lambda());
    let groups = groups(inner.len() - 1);
    let outer = (to - from) / groups.len().max(1) as f64;
    let begins = groups.iter().enumerate().flat_map(|(group, size)| {
        let start = from + outer * group as f64;
        (0..*size).map(move |k| start + outer * k as f64 / *size as f64)
    });
    let moved = begins.skip(1).map(|lambda| process.at_lambda(lambda));
    let levels = grid.levels();
    let before = levels.iter().take_while(|level| !level.lambda().is_finite() && level.sigma > 0.0);
    let after = levels.iter().filter(|level| level.sigma == 0.0);
    let own = std::iter::once(inner[0]).chain(moved).chain((inner.len() > 1).then(|| inner[inner.len() - 1]));
    Grid::new(before.copied().chain(own).chain(after.copied()).collect())
}

/// The levels that have signal and noise.
pub(super) fn finite(grid: &Grid) -> Vec<Level> {
    grid.levels().iter().filter(|level| level.lambda().is_finite()).copied().collect()
}

/// Evaluations in each step, n in all.
fn groups(n: usize) -> Vec<usize> {
    let full = n / 3;
    match n % 3 {
        0 if n > 0 => [vec![3; full - 1], vec![2, 1]].concat(),
        0 => Vec::new(),
        rest => [vec![3; full], vec![rest]].concat(),
    }
}
