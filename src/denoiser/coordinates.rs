use std::sync::Arc;

use tch::Tensor;

use super::{Around, Estimate, Prediction};
use crate::process::{Level, Process};

/// The change of variables around a network: it is asked about pictures x, solvers work on states y, and
/// `x = mean mu + scale y` around a degraded picture mu (see [`Change`](crate::process::Change)).
pub struct Coordinates {
    process: Arc<dyn Process>,
    mu: Option<Tensor>,
}

impl Coordinates {
    /// Of a process around the degraded pictures mu, `[n, C, h, w]` or one for all; none counts as 0.
    pub fn new(process: Arc<dyn Process>, mu: Option<Tensor>) -> Self {
        Self { process, mu }
    }

    /// The pictures x of the states y `[n, C, h, w]` at a level.
    pub fn picture(&self, y: &Tensor, level: &Level) -> Tensor {
        let change = self.process.change(level);
        let scaled = if change.scale == 1.0 { y.shallow_clone() } else { y * change.scale };
        match &self.mu {
            Some(mu) if change.mean > 0.0 => scaled + mu * change.mean,
            _ => scaled,
        }
    }

    /// The states y of the pictures x `[n, C, h, w]` at a level; the inverse of [`Coordinates::picture`].
    pub fn state(&self, x: &Tensor, level: &Level) -> Tensor {
        let change = self.process.change(level);
        let shifted = match &self.mu {
            Some(mu) if change.mean > 0.0 => x - mu * change.mean,
            _ => x.shallow_clone(),
        };
        if change.scale == 1.0 { shifted } else { shifted / change.scale }
    }

    /// The clean pictures of the clean states y0 `[n, C, h, w]`.
    pub fn clean(&self, y0: &Tensor) -> Tensor {
        self.picture(y0, &self.process.clean())
    }

    /// The clean states y0 `[n, C, h, w]` in other coordinates.
    pub fn clean_in(&self, others: &Self, y0: &Tensor) -> Tensor {
        others.state(&self.clean(y0), &others.process.clean())
    }

    /// Pictures per unit of a clean state.
    pub fn scale(&self) -> f64 {
        self.process.change(&self.process.clean()).scale
    }

    /// Whether states are told from a degraded picture on.
    pub fn shifts(&self) -> bool {
        self.mu.is_some()
    }

    /// The clean states y0 `[n, C, h, w]` whose pictures are mended.
    pub fn mended(&self, y0: &Tensor, mend: impl Fn(&Tensor) -> Tensor) -> Tensor {
        self.state(&mend(&self.clean(y0)), &self.process.clean())
    }

    /// What the network said about the states y `[n, C, h, w]` at a level, in the solver's variables.
    pub fn read(&self, prediction: Prediction, y: &Tensor, output: &Tensor, level: &Level) -> Estimate {
        let around = Around { change: self.process.change(level), mu: self.mu.as_ref() };
        let (x0, eps) = prediction.read(y, output, level, around);
        Estimate { x0, eps, range: None }
    }
}
