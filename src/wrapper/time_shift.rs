use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Partner, Wrapper};
use crate::{
    ask::Net,
    error::{Fault, Result},
    process::{Level, Process},
    sampler::{
        Run,
        hook::{Hook, Step},
    },
};

/// Lets each picture choose, near the time that the schedule says, the training time whose variance its state has (Li et al.
/// 2024, arXiv 2305.15583, algorithm 2). For models of training times.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TimeShift {
    /// Width of the window of training times; 0 changes nothing. Wide for few steps: 30 to 80 for 5 to 10.
    #[schema(minimum = 0, maximum = 400)]
    pub window: u32,
    /// Times up to this one stay.
    #[schema(minimum = 0, maximum = 10000)]
    pub cutoff: f64,
    /// What is moved: the published samplers differ.
    #[schema(inline)]
    pub placement: Placement,
    /// Variance of clean data, less the degraded pictures of a restoring model, which the criterion then counts in;
    /// null: the published criterion, which counts noise alone.
    #[schema(minimum = 0, maximum = 100)]
    pub data_variance: Option<f64>,
}

/// What is moved to the chosen time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// The end of the step.
    Target,
    /// Its start, and what the network is told.
    Start,
    /// What the network is told.
    Network,
    /// Its end, to one stride below the time chosen near its start.
    Delta,
}

impl Default for TimeShift {
    fn default() -> Self {
        Self { window: 40, cutoff: 300.0, placement: Placement::Target, data_variance: None }
    }
}

impl Wrapper for TimeShift {
    fn alone(&self) -> bool {
        true
    }

    fn fits(&self, process: &dyn Process) -> Result<(), Fault> {
        if !process.integer_times() {
            return Err(Fault::new("", "`time_shift` needs a model that was trained at whole times"));
        }
        let last = process.range().1;
        if last > self.cutoff || self.window == 0 {
            return Ok(());
        }
        Err(Fault::new("/cutoff", format!("must be below the model's last time {last}")))
    }

    fn apply<'a>(&'a self, run: &'a mut Run, _partner: Option<Partner>) -> LocalBoxFuture<'a, Result<()>> {
        run.hooks.push(Box::new(Shift(self.clone())));
        Box::pin(std::future::ready(Ok(())))
    }
}

struct Shift(TimeShift);

impl Hook for Shift {
    fn span<'a>(&'a mut self, x: &'a Tensor, step: &'a mut Step, net: &'a Net) -> LocalBoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let centre = if self.0.placement == Placement::Target { step.to } else { step.from };
            if self.0.window == 0 || step.index == 0 || centre.t <= self.0.cutoff || step.to.sigma == 0.0 {
                return Ok(());
            }
            let variance = net.read(&x.var(true)).await?.first().copied().unwrap_or(f64::NAN);
            let chosen = self.0.nearest(step.process, centre.t, variance);
            self.0.shift(step, chosen);
            Ok(())
        })
    }
}

impl TimeShift {
    /// The training time in the window whose variance is nearest, the first of equals.
    fn nearest(&self, process: &dyn Process, centre: f64, variance: f64) -> f64 {
        let reach = if self.placement == Placement::Network { self.window } else { self.window / 2 };
        let (least, most) = process.range();
        let centre = centre.round_ties_even();
        let first = (centre - f64::from(reach)).max(least);
        let last = (centre + f64::from(reach)).min(most);
        let times = (0..).map(|k| first + f64::from(k)).take_while(|t| *t <= last);
        let off = |t: f64| (self.variance(process, &process.at(t)) - variance).abs();
        times.min_by(|a, b| off(*a).total_cmp(&off(*b))).unwrap_or(centre)
    }

    fn variance(&self, process: &dyn Process, level: &Level) -> f64 {
        let share = level.alpha / process.change(level).scale;
        level.sigma * level.sigma + share * share * self.data_variance.unwrap_or(0.0)
    }

    fn shift(&self, step: &mut Step, chosen: f64) {
        let stride = step.from.t - step.to.t;
        match self.placement {
            Placement::Target => step.to = step.process.at(chosen),
            Placement::Start => step.from = step.process.at(chosen),
            Placement::Network => step.from.t = chosen,
            Placement::Delta => step.to = step.process.at(chosen - stride),
        }
    }
}
