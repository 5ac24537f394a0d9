//! One step of a solver plan, as weights.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Span, Weights,
    ddim::ancestral,
    exponential::Form,
    polynomial::{basis, moment},
};

/// The decisions of one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PlanStep {
    /// Terms of the Taylor expansion; at step k at most k.
    #[schema(minimum = 1, maximum = 5)]
    pub order: u32,
    /// What is expanded.
    #[schema(inline)]
    pub prediction: Form,
    /// Whether the step is taken again once the estimate at its end is known.
    #[schema(inline)]
    pub corrector: Corrector,
    /// How derivatives are estimated.
    #[schema(inline)]
    pub derivative: Derivative,
    /// The network's time at its start; all steps of a plan have one, or none has and the schedule decides.
    #[schema(minimum = -1e4, maximum = 1e4)]
    pub t: Option<f64>,
}

/// How a step is taken again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Corrector {
    /// Not.
    None,
    /// Through one estimate more.
    Plain,
    /// The same; where it has a single difference, that is relaxed as the step's own.
    Relaxed,
}

/// How the derivatives of an expansion are estimated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Derivative {
    /// Estimates besides the newest that the first derivative looks at, below the order; null: as many as there are.
    #[schema(minimum = 1, maximum = 4)]
    pub points: Option<u32>,
    /// What the first derivative is multiplied by.
    #[schema(inline)]
    pub relaxation: Relaxation,
    /// Of `linear`: r in `1 + r h`.
    #[schema(minimum = -1, maximum = 1)]
    pub rate: f64,
}

/// What a first derivative is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Relaxation {
    /// 1.
    None,
    /// What makes a second-order step that of DPM-Solver-2 and of UniPC's bh2.
    Bh2,
    /// What makes it that of UniPC's bh1.
    Bh1,
    /// `1 + r h`, with `r h` kept within a half.
    Linear,
}

impl Default for PlanStep {
    fn default() -> Self {
        let (prediction, corrector) = (Form::Data, Corrector::None);
        Self { order: 2, prediction, corrector, derivative: Derivative::default(), t: None }
    }
}

impl Default for Derivative {
    fn default() -> Self {
        Self { points: None, relaxation: Relaxation::None, rate: 0.0 }
    }
}

impl PlanStep {
    /// The step through as many of the span's estimates as its order says.
    pub fn predict(&self, span: &Span) -> Weights {
        let order = span.past.len().min(self.order as usize);
        if !span.is_inside() {
            return ancestral(span, 0.0);
        }
        let nodes: Vec<usize> = (0..order).collect();
        self.expand(span, &nodes, self.derivative)
    }

    /// The step once more, with the estimate at its end.
    pub fn correct(&self, span: &Span) -> Weights {
        let order = (span.past.len() - 1).min(self.order as usize);
        // The expansion stays around the step's start, which is now the second newest.
        let nodes: Vec<usize> = [1, 0].into_iter().chain(2..=order).collect();
        let relaxed = self.corrector == Corrector::Relaxed && order == 1;
        let relaxation = if relaxed { self.derivative.relaxation } else { Relaxation::None };
        self.expand(span, &nodes, Derivative { points: None, relaxation, ..self.derivative })
    }

    /// The Taylor expansion around `nodes[0]`, with derivatives of the polynomials through the nodes: the i-th has the weight
    /// `int_0^h e^(-a (h - u)) u^i / i! du`.
    fn expand(&self, span: &Span, nodes: &[usize], derivative: Derivative) -> Weights {
        let h = span.h();
        let places: Vec<f64> = nodes.iter().map(|node| (span.past[*node].lambda() - span.from.lambda()) / h).collect();
        let (a, scale) = match self.prediction {
            Form::Data => (h, span.to.alpha * h),
            Form::Noise => (-h, -span.to.sigma * h),
        };
        let mut weights = vec![0.0; span.past.len()];
        weights[nodes[0]] = scale * moment(a, 0);
        for term in 1..nodes.len() {
            let looks = match (term, derivative.points) {
                (1, Some(points)) => nodes.len().min(points as usize + 1),
                _ => nodes.len(),
            };
            let factor = if term == 1 { derivative.factor(-a) } else { 1.0 };
            for (at, node) in nodes[..looks].iter().enumerate() {
                weights[*node] += scale * factor * moment(a, term) * basis(&places[..looks], at)[term];
            }
        }
        match self.prediction {
            Form::Data => Weights::data(span.to.sigma / span.from.sigma, weights),
            Form::Noise => Weights::noise(span.to.alpha / span.from.alpha, weights),
        }
    }
}

impl Derivative {
    /// For a step of signed length `hh`: h over noises, -h over clean pictures.
    fn factor(&self, hh: f64) -> f64 {
        let whole = hh.exp_m1();
        match self.relaxation {
            Relaxation::None => 1.0,
            Relaxation::Bh2 => 0.5 * hh * whole / (whole - hh),
            Relaxation::Bh1 => 0.5 * hh * hh / (whole - hh),
            Relaxation::Linear => 1.0 + (self.rate * hh.abs()).clamp(-0.5, 0.5),
        }
    }
}
