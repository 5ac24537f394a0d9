use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    denoiser::Threshold,
    process::{Level, Process},
};

/// One step as a rule sees it.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// Where the step starts.
    pub from: Level,
    /// Where it ends.
    pub to: Level,
    /// Levels of the estimates that may be used, newest first; `past[0]` is `from`, or `to` when the step is corrected.
    pub past: &'a [Level],
    /// Steps before this one.
    pub index: usize,
    /// Steps after this one.
    pub left: usize,
    /// What the levels were taken from.
    pub process: &'a dyn Process,
}

impl Span<'_> {
    /// Length of the step in `lambda`.
    pub fn h(&self) -> f64 {
        self.to.lambda() - self.from.lambda()
    }

    /// Whether the step has a finite, positive length in `lambda`: neither from pure noise nor into a clean picture.
    pub fn is_inside(&self) -> bool {
        self.h().is_finite() && self.h() > 0.0
    }

    /// The same with the estimates at these levels alone.
    pub fn seeing<'b>(&self, past: &'b [Level]) -> Span<'b>
    where
        Self: 'b,
    {
        Span { past, ..*self }
    }
}

/// `x' = x * x + sum x0_j * X0_j + sum eps_j * Eps_j + z * Z`: weights of the state, of the newest estimates (newest
/// first, in both their forms) and of fresh standard normal noise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// Of the state.
    pub x: f64,
    /// Of the clean pictures.
    pub x0: Vec<f64>,
    /// Of the noises.
    pub eps: Vec<f64>,
    /// Of fresh noise.
    pub z: f64,
    /// Its greatest value, where the network says which between the two, by their logarithms.
    pub z_most: Option<f64>,
}

impl Weights {
    /// A step in the data form: state and clean pictures.
    pub fn data(x: f64, x0: Vec<f64>) -> Self {
        Self { x, x0, ..Self::default() }
    }

    /// A step in the noise form: state and noises.
    pub fn noise(x: f64, eps: Vec<f64>) -> Self {
        Self { x, eps, ..Self::default() }
    }

    /// Whether any estimate counts.
    pub fn weighs(&self) -> bool {
        self.x0.iter().chain(&self.eps).any(|weight| *weight != 0.0)
    }

    /// The same in one form: where both occur, the newest clean picture is `(x - sigma eps) / alpha` at `from`. `None`
    /// without any signal there.
    pub fn in_one_form(self, from: &Level) -> Option<Self> {
        let mixed = !self.x0.is_empty() && !self.eps.is_empty();
        match mixed {
            false => Some(self),
            true if from.alpha == 0.0 || self.x0.len() > 1 => None,
            true => {
                let share = self.x0[0] / from.alpha;
                let mut eps = self.eps;
                eps[0] -= share * from.sigma;
                Some(Self { x: self.x + share, x0: Vec::new(), eps, ..self })
            }
        }
    }
}

/// A multistep solver: weights from levels alone.
pub trait Rule: Clone {
    /// How many estimates it may see; its order.
    fn history(&self) -> usize;

    /// The weights of a step.
    fn predict(&self, span: &Span) -> Weights;

    /// The weights of the step that ended at `span.to`, once more, now that the estimate there is known: `past[0]` is
    /// `to`. `None` leaves the step as it is.
    fn correct(&self, span: &Span) -> Option<Weights> {
        let _ = span;
        None
    }

    /// Whether it draws noise.
    fn stochastic(&self) -> bool {
        false
    }

    /// Whether it needs a network that says a variance.
    fn reads_variance(&self) -> bool {
        false
    }

    /// Whether the order falls towards the end of the path, so that the last step is of order 1.
    fn lower_order_final(&self) -> bool {
        true
    }

    /// Where its noise is that of one Brownian path, the share of it: see [`Noise::follow`](crate::noise::Noise::follow).
    fn path(&self) -> Option<f64> {
        None
    }

    /// The most estimates in a step into `sigma = 0`.
    fn clean_order(&self) -> usize {
        1
    }

    /// How clean pictures are brought into their range.
    fn threshold(&self) -> Option<Threshold> {
        None
    }
}

/// Where fresh noise comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Draws {
    /// One Brownian path for each picture, whatever its steps: more steps refine the same picture.
    Brownian,
    /// New noise in every step.
    Independent,
}

impl Draws {
    /// The share of the path to follow, where there is one: see [`Rule::path`].
    pub fn path(self, share: f64) -> Option<f64> {
        (self == Self::Brownian && share != 0.0).then_some(share)
    }
}
