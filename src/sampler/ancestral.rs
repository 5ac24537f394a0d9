//! Steps of two estimates in ratios `s = sigma / alpha`, to a level below the next and back up to it with fresh noise.

use tch::Tensor;

use super::{Form, Run, combine};
use crate::{
    error::Result,
    process::{Grid, Level},
};

/// The level below and the standard deviation of the fresh noise, `(down, up)`, of a step from ratio `s` to `next`.
///
/// `up = eta next sqrt(1 - (next / s)^2)`, `down^2 = next^2 - up^2`: at `eta` 1 the posterior's variance (Song et al. 2021,
/// eq. 16).
pub fn split(s: f64, next: f64, eta: f64) -> (f64, f64) {
    let gone = if s.is_finite() { next / s } else { 0.0 };
    let up = (eta * next * (1.0 - gone * gone).max(0.0).sqrt()).min(next);
    ((next * next - up * up).max(0.0).sqrt(), up)
}

/// Whether a step between these ratios has an inside: from a signal, and not all the way down.
fn halved(s: f64, down: f64) -> bool {
    s.is_finite() && down > 0.0
}

/// A walk in steps of second order whose second estimate is made in the middle of the step in lambda.
#[derive(Clone, Copy, Debug)]
pub struct Midway {
    /// What of the middle takes the step: its noise, along a straight line in s, or its clean picture.
    pub by: Form,
    /// Share of the noise that is drawn afresh.
    pub eta: f64,
    /// Scale of the fresh noise.
    pub s_noise: f64,
}

impl Midway {
    /// Two evaluations in each step that has an inside.
    pub fn evaluations(self, grid: &Grid) -> usize {
        let of_step = |(from, to): (Level, Level)| {
            let (down, _) = split(from.ratio(), to.ratio(), self.eta);
            if halved(from.ratio(), down) { 2 } else { 1 }
        };
        grid.steps().map(of_step).sum()
    }

    /// Whether it draws noise.
    pub fn stochastic(self) -> bool {
        self.eta > 0.0 && self.s_noise > 0.0
    }

    /// The state `[n, C, h, w]` at the end of the run's grid.
    ///
    /// # Errors
    /// What the network fails with.
    pub async fn walk(self, run: Run) -> Result<Tensor> {
        let mut x = run.x.shallow_clone();
        for (index, (from, to)) in (0..).zip(run.grid.steps()) {
            let (down, up) = split(from.ratio(), to.ratio(), self.eta);
            x = self.step(&run, &x, &from, (to, down)).await?;
            let z = to.alpha * up * self.s_noise;
            if z > 0.0 {
                x = combine(&[(1.0, &x), (z, &run.noise.step(index))]);
            }
        }
        Ok(x)
    }

    /// From a level to the ratio `down`, in the units of `to`.
    async fn step(self, run: &Run, x: &Tensor, from: &Level, (to, down): (Level, f64)) -> Result<Tensor> {
        let first = run.denoiser.denoise(x, from).await?;
        let s = from.ratio();
        if !halved(s, down) {
            return Ok(combine(&[(to.alpha, &first.x0), (to.alpha * down, &first.eps)]));
        }
        let middle = run.process.at_ratio((s * down).sqrt());
        let inside = combine(&[(middle.alpha, &first.x0), (middle.sigma, &first.eps)]);
        let second = run.denoiser.denoise(&inside, &middle).await?;
        // With y = x / alpha: y' = y + (down - s) eps, or y' = (down / s) y + (1 - down / s) x0, each of the middle.
        let kept = down / s;
        Ok(match self.by {
            Form::Noise => {
                combine(&[(to.alpha, &first.x0), (to.alpha * s, &first.eps), (to.alpha * (down - s), &second.eps)])
            }
            Form::Data => combine(&[(to.alpha * kept / from.alpha, x), (to.alpha * (1.0 - kept), &second.x0)]),
        })
    }
}
