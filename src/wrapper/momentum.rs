use futures_util::future::{LocalBoxFuture, ready};
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Partner, Wrapper};
use crate::{
    error::Result,
    sampler::{
        Run, combine,
        hook::{History, Hook, Slope},
    },
};

/// A low-pass over the slopes that a solver takes: fewer artefacts with few steps or strong guidance, at the price of order 1
/// (Wizadwongsa et al. 2023, arXiv 2307.11118, section 4.1).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Momentum {
    /// Share of the new slope; 1 changes nothing. 0.8 to 0.9 for guidance of 7 to 15; below 0.5 pictures blur.
    #[schema(minimum = 0.1, maximum = 1)]
    pub beta: f64,
    /// How the smoothed slope is used.
    #[schema(inline)]
    pub kind: Kind,
}

/// How a smoothed slope v is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Heavy ball: v itself.
    Hb,
    /// Nesterov: `(1 - beta) v + beta d` with the new slope d.
    Nesterov,
}

impl Default for Momentum {
    fn default() -> Self {
        Self { beta: 0.9, kind: Kind::Hb }
    }
}

impl Wrapper for Momentum {
    fn apply<'a>(&'a self, run: &'a mut Run, _partner: Option<Partner>) -> LocalBoxFuture<'a, Result<()>> {
        run.hooks.push(Box::new(Ball { options: self.clone(), v: None, before: None }));
        Box::pin(ready(Ok(())))
    }
}

struct Ball {
    options: Momentum,
    v: Option<Tensor>,
    /// v without the last step, which a corrector takes again.
    before: Option<Tensor>,
}

impl Hook for Ball {
    fn bends(&self) -> bool {
        self.options.beta < 1.0
    }

    /// `v = (1 - beta) v + beta d`, from `v = d` on. Steps of first order over clean pictures, at either end of a solver of
    /// higher order, stay as they are.
    fn slope(&mut self, slope: &mut Slope, _history: &History) {
        if !slope.of_noise && slope.order == 1 && slope.highest > 1 {
            return;
        }
        if slope.start == 0 {
            self.before = self.v.take();
        }
        let beta = self.options.beta;
        let smooth = |v: &Tensor| combine(&[(1.0 - beta, v), (beta, &slope.d)]);
        let v = self.before.as_ref().map_or_else(|| slope.d.shallow_clone(), smooth);
        let used = if self.options.kind == Kind::Nesterov { smooth(&v) } else { v.shallow_clone() };
        (self.v, slope.d) = (Some(v), used);
    }
}
