use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{
    NETWORK, Place, Rule, Run, Solver, Span, Weights, march,
    plan::{Corrector, PlanStep},
};
use crate::{
    error::{Fault, Result},
    process::Grid,
};

/// The unified sampling framework: a solver as a list of decisions, each step with its own order, prediction, derivative
/// estimate, corrector and time (Liu et al. 2024, arXiv 2312.07243, section 3). DPM-Solver, DPM-Solver++, DEIS and UniPC are
/// plans.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Usf {
    /// The steps, noisy to clean. A single one serves every step of the schedule.
    #[schema(inline, min_items = 1, max_items = 100)]
    pub plan: Vec<PlanStep>,
}

impl Default for Usf {
    fn default() -> Self {
        Self { plan: vec![PlanStep::default()] }
    }
}

impl Usf {
    fn at(&self, index: usize) -> &PlanStep {
        self.plan.get(index).unwrap_or(&self.plan[self.plan.len() - 1])
    }

    fn fault(at: usize, field: &str, message: impl Into<String>) -> Fault {
        Fault::new(format!("/plan/{at}/{field}"), message)
    }
}

impl Solver for Usf {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        Some(grid.len())
    }

    fn carries(&self) -> &'static [Place] {
        NETWORK
    }

    fn steps(&self) -> Option<usize> {
        (self.plan.len() > 1).then_some(self.plan.len())
    }

    fn times(&self) -> Option<Vec<f64>> {
        self.plan.iter().map(|step| step.t).collect()
    }

    fn check(&self) -> Result<(), Fault> {
        let timed = self.plan.iter().filter(|step| step.t.is_some()).count();
        for (at, step) in self.plan.iter().enumerate() {
            let points = step.derivative.points.unwrap_or(1);
            if self.plan.len() > 1 && step.order as usize > at + 1 {
                return Err(Self::fault(at, "order", format!("only {} estimates are known there", at + 1)));
            }
            if points >= step.order.max(2) {
                return Err(Self::fault(at, "derivative/points", "must be below the step's order"));
            }
            if timed > 0 && timed < self.plan.len() && step.t.is_none() {
                return Err(Self::fault(at, "t", "is missing: other steps of the plan have one"));
            }
            if at > 0 && step.t.is_some() && step.t >= self.plan[at - 1].t {
                return Err(Self::fault(at, "t", "must be below the time of the step before"));
            }
        }
        match self.plan.len() {
            1 if timed == 1 => Err(Self::fault(0, "t", "a step that serves all steps has no time of its own")),
            _ => Ok(()),
        }
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(march(self, run))
    }
}

impl Rule for Usf {
    fn history(&self) -> usize {
        self.plan.iter().map(|step| step.order as usize).max().unwrap_or(1)
    }

    fn lower_order_final(&self) -> bool {
        false
    }

    fn predict(&self, span: &Span) -> Weights {
        self.at(span.index).predict(span)
    }

    fn correct(&self, span: &Span) -> Option<Weights> {
        let step = self.at(span.index);
        (step.corrector != Corrector::None && span.is_inside()).then(|| step.correct(span))
    }
}
