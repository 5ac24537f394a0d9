use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{
    EVERYWHERE, Place, Rule, Run, Solver, Span, Weights,
    adams::{bashforth, constant},
    combine, march,
};
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

    fn carries(&self) -> &'static [Place] {
        EVERYWHERE
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

/// Adams and Bashforth, after so many first steps of the pseudo Runge-Kutta method and of Heun's. Wrappers of steps take hold
/// after those.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pseudo {
    pub order: usize,
    pub kutta: usize,
    pub heun: usize,
}

impl Pseudo {
    /// Evaluations of each of the first steps: there is nothing to evaluate where no noise is, and from noise alone no slope.
    fn start(self, grid: &Grid) -> Vec<usize> {
        let inner = grid.steps().take_while(|(_, to)| to.sigma > 0.0).enumerate();
        let cost = |(index, (from, _)): (usize, (Level, Level))| match index {
            _ if from.alpha == 0.0 => 1,
            index if index < self.kutta => 4,
            _ => 2,
        };
        inner.take(self.kutta.max(self.heun)).map(cost).collect()
    }

    pub fn evaluations(self, grid: &Grid) -> usize {
        let start = self.start(grid);
        start.iter().sum::<usize>() + grid.len() - start.len()
    }

    pub async fn walk(self, mut run: Run) -> Result<Tensor> {
        let start = self.start(&run.grid);
        for (evaluations, (from, to)) in start.iter().zip(run.grid.clone().steps()) {
            let estimate = run.denoiser.denoise(&run.x, &from).await?;
            let (first, way) = (&estimate.eps, (&from, &to));
            run.x = match evaluations {
                4 => transfer(&run.x, &kutta(&run, first, way).await?, way),
                2 => transfer(&run.x, &heun(&run, first, way).await?, way),
                _ => combine(&[(to.alpha, &estimate.x0), (to.sigma, first)]),
            };
            run.warm.insert(0, (from, estimate));
        }
        match run.grid.after(start.len()) {
            Some(grid) => march(self, Run { grid, ..run }).await,
            None => Ok(run.x),
        }
    }
}

impl Rule for Pseudo {
    fn history(&self) -> usize {
        self.order
    }

    fn lower_order_final(&self) -> bool {
        false
    }

    fn clean_order(&self) -> usize {
        self.order
    }

    fn predict(&self, span: &Span) -> Weights {
        constant(span, &bashforth(span.past.len(), 1.0))
    }
}

/// DDIM's step: `x' = (alpha' / alpha) x + (sigma' - (alpha' / alpha) sigma) eps`, from a level with a signal.
fn transfer(x: &Tensor, eps: &Tensor, (from, to): (&Level, &Level)) -> Tensor {
    let kept = to.alpha / from.alpha;
    combine(&[(kept, x), (to.sigma - kept * from.sigma, eps)])
}

async fn heun(run: &Run, first: &Tensor, (from, to): (&Level, &Level)) -> Result<Tensor> {
    let second = run.denoiser.denoise(&transfer(&run.x, first, (from, to)), to).await?.eps;
    Ok(combine(&[(0.5, first), (0.5, &second)]))
}

async fn kutta(run: &Run, first: &Tensor, (from, to): (&Level, &Level)) -> Result<Tensor> {
    let middle = &run.process.at(0.5 * (from.t + to.t));
    let second = run.denoiser.denoise(&transfer(&run.x, first, (from, middle)), middle).await?.eps;
    let third = run.denoiser.denoise(&transfer(&run.x, &second, (from, middle)), middle).await?.eps;
    let fourth = run.denoiser.denoise(&transfer(&run.x, &third, (from, to)), to).await?.eps;
    let (outer, inner) = (1.0 / 6.0, 1.0 / 3.0);
    Ok(combine(&[(outer, first), (inner, &second), (inner, &third), (outer, &fourth)]))
}
