//! Steps of DPM-Solver that gather their estimates inside: from one level through inner ones to the last, each estimate made
//! on the way (Lu et al. 2022, arXiv 2206.00927, algorithms 4 and 5, and arXiv 2211.01095, algorithm 1).

use tch::Tensor;

use super::{
    Run, Span, Weights, combine,
    exponential::{Difference, Form, through, through_two},
};
use crate::{denoiser::Estimate, error::Result, process::Level};

/// How the steps of a run extrapolate.
#[derive(Clone, Copy, Debug)]
pub struct Singlestep {
    /// What.
    pub form: Form,
    /// With `midpoint` a step of order 3 takes its first and last estimate, with `taylor` all three.
    pub difference: Difference,
    /// Most estimates in a step.
    pub order: usize,
    /// Whether the last step is of order 1.
    pub lower_order_final: bool,
}

impl Singlestep {
    /// Walks the run's grid with an evaluation at each of its levels but the last: `order` of its steps are one step here.
    ///
    /// # Errors
    /// What the network fails with.
    pub async fn walk(self, run: Run) -> Result<Tensor> {
        let groups = self.groups(run.grid.len(), run.grid.last().sigma == 0.0);
        self.through(run, groups).await
    }

    /// The same where each step takes so many of the grid's.
    ///
    /// # Errors
    /// What the network fails with.
    pub async fn through(self, run: Run, groups: Vec<usize>) -> Result<Tensor> {
        let (mut x, mut at) = (run.x.shallow_clone(), 0);
        for size in groups {
            x = self.leap(&run, &x, &run.grid.levels()[at..=at + size]).await?;
            at += size;
        }
        Ok(x)
    }

    /// How many of the grid's steps each step takes. The one into a clean picture is of order 1: its logarithms are not
    /// finite.
    fn groups(self, steps: usize, clean: bool) -> Vec<usize> {
        let (full, rest) = (steps / self.order, steps % self.order);
        let mut groups = vec![self.order; full];
        groups.extend((rest > 0).then_some(rest));
        let last = groups[groups.len() - 1];
        if last > 1 && (clean || (self.lower_order_final && last == self.order)) {
            groups.pop();
            groups.extend([last - 1, 1]);
        }
        groups
    }

    /// One step, from the first of the levels to the last.
    async fn leap(self, run: &Run, start: &Tensor, levels: &[Level]) -> Result<Tensor> {
        let mut x = start.shallow_clone();
        let mut estimates: Vec<Estimate> = Vec::new();
        for at in 1..levels.len() {
            estimates.push(run.denoiser.denoise(&x, &levels[at - 1]).await?);
            x = self.step(run, start, &levels[..=at], &estimates, at + 1 == levels.len());
        }
        Ok(x)
    }

    /// From the first of the levels to the last, by the estimates at all but the last.
    pub fn step(self, run: &Run, x: &Tensor, levels: &[Level], estimates: &[Estimate], whole: bool) -> Tensor {
        let (from, to) = (levels[0], levels[levels.len() - 1]);
        let inner = &levels[..levels.len() - 1];
        let outer = [from, inner[inner.len() - 1]];
        let span = |past| Span { from, to, past, index: 0, left: 0, process: &*run.process };
        let last = estimates.len() - 1;
        match (last, self.difference) {
            (0, _) => taken(x, &through(self.form, &span(inner)), &[&estimates[0]]),
            (1, difference) if whole => {
                taken(x, &through_two(self.form, difference, 0.0, &span(&outer)), &[&estimates[0], &estimates[1]])
            }
            (2, Difference::Taylor) => {
                taken(x, &through(self.form, &span(inner)), &estimates.iter().collect::<Vec<_>>())
            }
            _ => taken(x, &through(self.form, &span(&outer)), &[&estimates[0], &estimates[last]]),
        }
    }
}

/// `x' = x * x + sum x0_j * X0_j + sum eps_j * Eps_j`.
fn taken(x: &Tensor, weights: &Weights, estimates: &[&Estimate]) -> Tensor {
    let x0 = weights.x0.iter().zip(estimates).map(|(weight, estimate)| (*weight, &estimate.x0));
    let eps = weights.eps.iter().zip(estimates).map(|(weight, estimate)| (*weight, &estimate.eps));
    combine(&std::iter::once((weights.x, x)).chain(x0).chain(eps).collect::<Vec<_>>())
}
