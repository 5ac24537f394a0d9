use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Rule, Span, Weights,
    exponential::{Form, through},
};

/// UniPC: a multistep predictor of any order, and a corrector that mends each step with the estimate at its end, at no
/// further evaluation (Zhao et al. 2023, arXiv 2302.04867, algorithms 1 and 2, in the form with varying coefficients).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UniPc {
    /// Estimates that the predictor goes through; the corrector goes through one more.
    #[schema(minimum = 1, maximum = 5)]
    pub order: u32,
    /// What is extrapolated.
    #[schema(inline)]
    pub form: Form,
    /// Whether steps are corrected. It raises the order by one; under strong guidance and few steps it does harm.
    pub corrector: bool,
    /// Whether the order falls towards the end.
    pub lower_order_final: bool,
}

impl Default for UniPc {
    fn default() -> Self {
        Self { order: 2, form: Form::Data, corrector: true, lower_order_final: true }
    }
}

impl Rule for UniPc {
    fn history(&self) -> usize {
        self.order as usize
    }

    fn lower_order_final(&self) -> bool {
        self.lower_order_final
    }

    fn predict(&self, span: &Span) -> Weights {
        through(self.form, span)
    }

    fn correct(&self, span: &Span) -> Option<Weights> {
        // A start without any signal has no lambda to go on from.
        (self.corrector && span.from.lambda().is_finite()).then(|| through(self.form, span))
    }
}
