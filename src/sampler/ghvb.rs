use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{
    EVERYWHERE, Place, Rule, Run, Solver, Span, Weights, adams, combine,
    hook::{History, Hook},
    march,
};
use crate::{
    denoiser::Estimate,
    error::Result,
    process::{Grid, Level},
};

/// Generalised heavy ball: Adams-Bashforth over noises that a low-pass has smoothed, with weights that undo its lag, which
/// widens the region of stability and keeps the order (Wizadwongsa et al. 2023, arXiv 2307.11118, section 4.2).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Ghvb {
    /// Order, rounded up, and damping, its fraction: 3.8 is order 4 with beta 0.8; whole numbers are plain Adams-Bashforth.
    #[schema(minimum = 0.1, maximum = 5)]
    pub momentum_number: f64,
}

impl Default for Ghvb {
    fn default() -> Self {
        Self { momentum_number: 3.8 }
    }
}

impl Ghvb {
    fn beta(&self) -> f64 {
        let fraction = self.momentum_number.fract();
        if fraction == 0.0 { 1.0 } else { fraction }
    }
}

impl Solver for Ghvb {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        Some(grid.len())
    }

    fn carries(&self) -> &'static [Place] {
        EVERYWHERE
    }

    fn sample(self, mut run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        run.hooks.insert(0, Box::new(LowPass(self.beta())));
        Box::pin(march(self, run))
    }
}

impl Rule for Ghvb {
    fn history(&self) -> usize {
        self.momentum_number.ceil() as usize
    }

    fn lower_order_final(&self) -> bool {
        false
    }

    fn clean_order(&self) -> usize {
        usize::MAX
    }

    fn predict(&self, span: &Span) -> Weights {
        adams::constant(span, &adams::bashforth(span.past.len(), self.beta()))
    }
}

/// `v = (1 - beta) v + beta eps`, from `v = eps` on.
struct LowPass(f64);

impl Hook for LowPass {
    fn estimate(&mut self, newest: &mut Estimate, _at: &Level, past: &History) {
        if let Some(before) = past.estimates.front().filter(|_| self.0 < 1.0) {
            newest.eps = combine(&[(1.0 - self.0, &before.eps), (self.0, &newest.eps)]);
        }
    }
}
