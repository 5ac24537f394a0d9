use tch::Tensor;

use super::Estimate;
use crate::process::Level;

/// What is known of a run besides its network: it may change what the network is shown, and what samplers are told.
pub trait Anchor {
    /// What the network is shown of the states `x` `[n, C, h, w]` at a level.
    fn seen(&self, x: &Tensor, level: &Level) -> Tensor {
        let _ = level;
        x.shallow_clone()
    }

    /// The estimate for the states `x` at a level of positive noise, with what is known in it.
    fn held(&self, x: &Tensor, level: &Level, estimate: Estimate) -> Estimate;
}

/// A part of the clean states that is known, and so needs no network: samplers are told it as if the network had said it,
/// and walk it to its end without a loop of their own.
pub struct Kept {
    /// The clean states, `[n, C, h, w]` or one for all.
    pub known: Tensor,
    /// Where they are not known but free, `[1, 1, h, w]` of booleans.
    pub free: Tensor,
    /// Draws the noise `[n, C, h, w]` with which the network sees the known part; where there is none, it has that of the
    /// state.
    pub fresh: Option<Box<dyn Fn() -> Tensor>>,
}

impl Anchor for Kept {
    fn seen(&self, x: &Tensor, level: &Level) -> Tensor {
        match &self.fresh {
            Some(draw) => x.where_self(&self.free, &(&self.known * level.alpha + draw() * level.sigma)),
            None => x.shallow_clone(),
        }
    }

    fn held(&self, x: &Tensor, level: &Level, estimate: Estimate) -> Estimate {
        let eps = (x - &self.known * level.alpha) / level.sigma;
        Estimate {
            x0: estimate.x0.where_self(&self.free, &self.known),
            eps: estimate.eps.where_self(&self.free, &eps),
            range: estimate.range,
        }
    }
}
