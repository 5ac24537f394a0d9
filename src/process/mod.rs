//! Diffusion processes: how much signal and how much noise there is at a time.
//!
//! Everything above this module sees a [`Level`]; which process it came from matters only to the network that is told `t`.

use std::fmt::Debug;

mod change;
mod flow;
mod grid;
mod mean_reverting;
mod named;
mod resfusion;
mod residual;
mod table;
mod ve;
mod vp;

pub use change::Change;
pub use flow::Flow;
pub use grid::{Grid, share_of};
pub use mean_reverting::{MeanReverting, Theta};
pub use named::Named;
pub use resfusion::Resfusion;
pub use residual::Residual;
pub use ve::Ve;
pub use vp::{Betas, Vp};

/// One noise level: `x = alpha * x0 + sigma * eps`, in the variables of [`Change`] where there is one. `t` is what the
/// network is told.
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
    /// Its kind, as `/v1/models` says it.
    fn name(&self) -> &'static str;

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

    /// Whether the network was trained on integers only.
    fn integer_times(&self) -> bool {
        true
    }

    /// What lies between the network's pictures and the solver's states at a level.
    fn change(&self, level: &Level) -> Change {
        let _ = level;
        Change::default()
    }

    /// Share of the state that the way up from a level to a noisier one keeps in the published chain; the rest is fresh
    /// noise.
    fn kept(&self, noisier: &Level, level: &Level) -> f64 {
        noisier.alpha / level.alpha
    }

    /// Whether it starts from a degraded picture.
    fn restores(&self) -> bool {
        self.change(&self.clean()).mean > 0.0
    }
}
