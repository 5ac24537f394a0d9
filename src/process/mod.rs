//! Diffusion processes: how much signal and how much noise there is at a time.
//!
//! Everything above this module sees a [`Level`]; which process it came from matters only to the network that is told `t`.

use std::fmt::Debug;

mod flow;
mod grid;
mod named;
mod ve;
mod vp;

pub use flow::Flow;
pub use grid::Grid;
pub use named::Named;
pub use ve::Ve;
pub use vp::{Betas, Vp};

/// One noise level: `x = alpha * x0 + sigma * eps`. `t` is what the network is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// The network's time.
    pub t: f64,
    /// Share of the signal, above 0 except at the end of a zero-terminal process.
    pub alpha: f64,
    /// Share of the noise, 0 for a clean picture.
    pub sigma: f64,
}

impl Level {
    /// Half the log signal-to-noise ratio, `ln(alpha / sigma)`; infinite for a clean picture.
    pub fn lambda(&self) -> f64 {
        (self.alpha / self.sigma).ln()
    }

    /// `sigma / alpha`, the noise level of the variance-exploding picture of the same point.
    pub fn ratio(&self) -> f64 {
        self.sigma / self.alpha
    }
}

/// A family of levels indexed by the network's time; noise rises with `t`.
pub trait Process: Debug + Send + Sync {
    /// The level at time `t`, which is first brought into [`Process::range`].
    fn at(&self, t: f64) -> Level;

    /// The level with that half log signal-to-noise ratio; the inverse of [`Level::lambda`].
    fn at_lambda(&self, lambda: f64) -> Level;

    /// The level with that `sigma / alpha`.
    fn at_ratio(&self, ratio: f64) -> Level {
        self.at_lambda(-ratio.ln())
    }

    /// The least and the greatest time that the network was trained on.
    fn range(&self) -> (f64, f64);

    /// The clean end of every path.
    fn clean(&self) -> Level {
        Level { t: self.range().0, alpha: 1.0, sigma: 0.0 }
    }

    /// Training times, for spacings that count in them; processes with real times spread 1000 over their range.
    fn train_steps(&self) -> usize {
        1000
    }

    /// Whether the network was trained on the integers 0..N-1 only.
    fn integer_times(&self) -> bool {
        true
    }
}
