use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use utoipa::ToSchema;

use super::{
    Run, Solver, combine,
    controller::{Controller, Gains},
    dpm_fast::finite,
    exponential::{Difference, Form},
    singlestep::Singlestep,
};
use crate::{
    denoiser::Estimate,
    error::Result,
    process::{Grid, Level},
};

/// DPM-Solver with steps of its own length: each is taken to two orders, and their difference decides whether it stands and
/// how long the next one is (Lu et al. 2022, arXiv 2206.00927, appendix C; k-diffusion's controller). Of the schedule only
/// the ends count.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DpmAdaptive {
    /// The higher of the two orders; evaluations in a step.
    #[schema(minimum = 2, maximum = 3)]
    pub order: u32,
    /// Error that a step may have, relative to the state.
    #[schema(minimum = 1e-5, maximum = 1)]
    pub rtol: f64,
    /// Error that a step may have.
    #[schema(minimum = 1e-6, maximum = 1)]
    pub atol: f64,
    /// Length of the first step, in lambda.
    #[schema(minimum = 1e-4, maximum = 10)]
    pub h_init: f64,
    /// How the controller weighs errors.
    #[schema(inline)]
    pub gains: Gains,
    /// Evaluations after which the rest is one step.
    #[schema(minimum = 4, maximum = 2000)]
    pub max_evaluations: u32,
}

impl Default for DpmAdaptive {
    fn default() -> Self {
        Self { order: 3, rtol: 0.05, atol: 0.0078, h_init: 0.05, gains: Gains::default(), max_evaluations: 200 }
    }
}

impl Solver for DpmAdaptive {
    fn evaluations(&self, _grid: &Grid) -> Option<usize> {
        None
    }

    fn most(&self, _grid: &Grid) -> usize {
        // The last step, and one each from pure noise and into the clean picture.
        (self.max_evaluations + self.order) as usize + 2
    }

    fn alone(&self) -> bool {
        true
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(adapt(self, run))
    }
}

async fn adapt(options: DpmAdaptive, run: Run) -> Result<Tensor> {
    let inner = finite(&run.grid);
    let (Some(first), Some(last)) = (inner.first().copied(), inner.last().copied()) else {
        return plain(&run, &run.x, run.grid.first(), run.grid.last()).await;
    };
    let mut x = run.x.shallow_clone();
    if run.grid.first().alpha == 0.0 {
        x = plain(&run, &x, run.grid.first(), first).await?;
    }
    let mut tries = Tries::new(&options, &run, &x, first);
    while tries.at.lambda() < last.lambda() - 1e-5 {
        tries.next(&last).await?;
    }
    match run.grid.last().sigma {
        0.0 => plain(&run, &tries.x, last, run.grid.last()).await,
        _ => Ok(tries.x),
    }
}

async fn plain(run: &Run, x: &Tensor, from: Level, to: Level) -> Result<Tensor> {
    let estimate = run.denoiser.denoise(x, &from).await?;
    Ok(combine(&[(to.alpha, &estimate.x0), (to.sigma, &estimate.eps)]))
}

/// The walk so far, and the estimate at its end.
struct Tries<'a> {
    options: &'a DpmAdaptive,
    run: &'a Run,
    controller: Controller,
    x: Tensor,
    /// The state before, as the lower order had it.
    before: Tensor,
    at: Level,
    known: Option<Estimate>,
    made: u32,
}

impl<'a> Tries<'a> {
    fn new(options: &'a DpmAdaptive, run: &'a Run, x: &Tensor, at: Level) -> Self {
        let controller = Controller::new(options.h_init, f64::from(options.order), options.gains);
        let before = x / at.alpha;
        Self { options, run, controller, x: x.shallow_clone(), before, at, known: None, made: 0 }
    }

    /// Tries a step of the controller's length, or the whole rest once the evaluations are used up.
    async fn next(&mut self, last: &Level) -> Result<()> {
        let over = self.made >= self.options.max_evaluations;
        let (from, end) = (self.at.lambda(), last.lambda());
        let h = if over { end - from } else { self.controller.h.min(end - from) };
        let to = if h < end - from { self.run.process.at_lambda(from + h) } else { *last };
        let (low, high, first) = self.both(to, h).await?;
        let error = self.error(&low, &high, &to).await?;
        if self.controller.accepts(error) || over {
            (self.x, self.before, self.at, self.known) = (high, &low / to.alpha, to, None);
        } else {
            self.known = Some(first);
        }
        Ok(())
    }

    /// The states at a level to the lower and the higher order, and the estimate at the start.
    async fn both(&mut self, to: Level, h: f64) -> Result<(Tensor, Tensor, Estimate)> {
        let order = self.options.order as usize;
        let solver =
            Singlestep { form: Form::Noise, difference: Difference::Midpoint, order, lower_order_final: false };
        let inner = |k: usize| self.run.process.at_lambda(self.at.lambda() + h * k as f64 / order as f64);
        let levels: Vec<Level> = std::iter::once(self.at).chain((1..order).map(inner)).collect();
        let mut estimates = Vec::new();
        let mut x = self.x.shallow_clone();
        for (k, level) in levels.iter().enumerate() {
            let known = if k == 0 { self.known.take() } else { None };
            self.made += u32::from(known.is_none());
            estimates.push(match known {
                Some(estimate) => estimate,
                None => self.run.denoiser.denoise(&x, level).await?,
            });
            if let Some(next) = levels.get(k + 1) {
                let way = [&levels[..=k], &[*next]].concat();
                x = solver.step(self.run, &self.x, &way, &estimates, false);
            }
        }
        let way = |upto: usize| [&levels[..upto], &[to]].concat();
        let low = solver.step(self.run, &self.x, &way(order - 1), &estimates[..order - 1], true);
        let high = solver.step(self.run, &self.x, &way(order), &estimates, true);
        Ok((low, high, estimates.remove(0)))
    }

    /// Root mean square of the difference in units of what a step may be off, over `x / alpha`.
    async fn error(&self, low: &Tensor, high: &Tensor, to: &Level) -> Result<f64> {
        let (low, high) = (low / to.alpha, high / to.alpha);
        let most = low.abs().maximum(&self.before.abs()) * self.options.rtol;
        let off = (low - high) / most.clamp_min(self.options.atol);
        let mean = off.square().mean(Kind::Float).sqrt();
        Ok(self.run.denoiser.net.read(&mean).await?.first().copied().unwrap_or(f64::NAN))
    }
}
