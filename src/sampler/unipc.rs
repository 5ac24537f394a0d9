use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Rule, Span, Weights,
    exponential::{Difference, Form, through, through_two},
};
use crate::denoiser::Threshold;

/// UniPC: a multistep predictor of any order, and a corrector that mends each step with the estimate at its end, at no
/// further evaluation (Zhao et al. 2023, arXiv 2302.04867, algorithms 1 and 2).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UniPc {
    /// Estimates that the predictor goes through; the corrector goes through one more.
    #[schema(minimum = 1, maximum = 5)]
    pub order: u32,
    /// What is extrapolated.
    #[schema(inline)]
    pub form: Form,
    /// The weight of the difference in a step through two estimates, which is all that B(h) decides.
    #[schema(inline)]
    pub variant: Variant,
    /// Whether steps are corrected. It raises the order by one; under strong guidance and few steps it does harm.
    pub corrector: bool,
    /// Whether the order falls towards the end.
    pub lower_order_final: bool,
    /// Brings clean pictures into their range; null: leaves them as they are.
    #[schema(inline)]
    pub threshold: Option<Threshold>,
}

/// B(h) of UniPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// `B = e^h - 1`.
    Bh2,
    /// `B = h`.
    Bh1,
    /// No shortcut: varying coefficients.
    Exact,
}

impl Default for UniPc {
    fn default() -> Self {
        let (form, variant) = (Form::Data, Variant::Bh2);
        Self { order: 2, form, variant, corrector: true, lower_order_final: true, threshold: None }
    }
}

impl UniPc {
    fn weights(&self, span: &Span) -> Weights {
        let difference = match self.variant {
            Variant::Bh2 => Difference::Midpoint,
            Variant::Bh1 => Difference::Step,
            Variant::Exact => Difference::Taylor,
        };
        if span.past.len() == 2 { through_two(self.form, difference, 0.0, span) } else { through(self.form, span) }
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
        self.weights(span)
    }

    fn correct(&self, span: &Span) -> Option<Weights> {
        // A start without any signal has no lambda to go on from.
        (self.corrector && span.from.lambda().is_finite()).then(|| self.weights(span))
    }

    fn threshold(&self) -> Option<Threshold> {
        self.threshold
    }
}
