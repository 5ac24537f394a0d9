use std::collections::VecDeque;

use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Run, Solver, adams::bashforth, combine};
use crate::{
    error::Result,
    process::{Grid, Level},
};

/// Pseudo numerical methods: constant weights of Adams and Bashforth over the noises, then a DDIM step with their sum (Liu et
/// al. 2022, arXiv 2202.09778, algorithms 2 and 3). Meant for equal steps in time.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Pndm {
    /// How it starts.
    #[schema(inline)]
    pub variant: Variant,
    /// Estimates that a step weighs; `s` weighs at most 2.
    #[schema(minimum = 1, maximum = 4)]
    pub order: u32,
}

/// How a pseudo numerical method starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// F-PNDM: three steps of the pseudo Runge-Kutta method, four evaluations each.
    F,
    /// S-PNDM: one pseudo step of Heun's, two evaluations; then order 2.
    S,
    /// With lower orders, no further evaluations (Zhang and Chen 2023, arXiv 2204.13902).
    Ipndm,
}

impl Default for Pndm {
    fn default() -> Self {
        Self { variant: Variant::F, order: 4 }
    }
}

impl Solver for Pndm {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        Some(self.pseudo().evaluations(grid))
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(self.pseudo().walk(run))
    }
}

impl Pndm {
    fn pseudo(&self) -> Pseudo {
        let order = self.order as usize;
        match self.variant {
            Variant::F => Pseudo { order, kutta: 3, heun: 0 },
            Variant::S => Pseudo { order: order.min(2), kutta: 0, heun: 1 },
            Variant::Ipndm => Pseudo { order, kutta: 0, heun: 0 },
        }
    }
}

/// Adams and Bashforth, after so many first steps of the pseudo Runge-Kutta method and of Heun's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pseudo {
    pub order: usize,
    pub kutta: usize,
    pub heun: usize,
}

impl Pseudo {
    /// Evaluations of the step at `index`: there is nothing to evaluate where no noise is.
    fn of_step(self, index: usize, to: &Level) -> usize {
        match index {
            _ if to.sigma == 0.0 => 1,
            index if index < self.kutta => 4,
            index if index < self.heun => 2,
            _ => 1,
        }
    }

    pub fn evaluations(self, grid: &Grid) -> usize {
        grid.steps().enumerate().map(|(index, (_, to))| self.of_step(index, &to)).sum()
    }

    pub async fn walk(self, run: Run) -> Result<Tensor> {
        let mut x = run.x.shallow_clone();
        let mut past: VecDeque<Tensor> = VecDeque::new();
        for (index, (from, to)) in run.grid.steps().enumerate() {
            past.push_front(run.denoiser.denoise(&x, &from).await?.eps);
            past.truncate(self.order.max(1));
            let eps = match self.of_step(index, &to) {
                4 => kutta(&run, &x, &past[0], (&from, &to)).await?,
                2 => heun(&run, &x, &past[0], (&from, &to)).await?,
                _ => weighed(&past),
            };
            x = transfer(&x, &eps, &from, &to);
        }
        Ok(x)
    }
}

fn weighed(past: &VecDeque<Tensor>) -> Tensor {
    let weights = bashforth(past.len(), 1.0);
    combine(&weights.into_iter().zip(past).collect::<Vec<_>>())
}

/// DDIM's step: `x' = (alpha' / alpha) x + (sigma' - (alpha' / alpha) sigma) eps`; from pure noise x is the noise.
fn transfer(x: &Tensor, eps: &Tensor, from: &Level, to: &Level) -> Tensor {
    match from.alpha {
        0.0 => combine(&[(to.sigma / from.sigma, x)]),
        alpha => combine(&[(to.alpha / alpha, x), (to.sigma - to.alpha / alpha * from.sigma, eps)]),
    }
}

async fn heun(run: &Run, x: &Tensor, first: &Tensor, (from, to): (&Level, &Level)) -> Result<Tensor> {
    let second = run.denoiser.denoise(&transfer(x, first, from, to), to).await?.eps;
    Ok(combine(&[(0.5, first), (0.5, &second)]))
}

async fn kutta(run: &Run, x: &Tensor, first: &Tensor, (from, to): (&Level, &Level)) -> Result<Tensor> {
    let middle = run.process.at(0.5 * (from.t + to.t));
    let second = run.denoiser.denoise(&transfer(x, first, from, &middle), &middle).await?.eps;
    let third = run.denoiser.denoise(&transfer(x, &second, from, &middle), &middle).await?.eps;
    let fourth = run.denoiser.denoise(&transfer(x, &third, from, to), to).await?.eps;
    let (outer, inner) = (1.0 / 6.0, 1.0 / 3.0);
    Ok(combine(&[(outer, first), (inner, &second), (inner, &third), (outer, &fourth)]))
}
