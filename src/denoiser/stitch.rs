use std::sync::Arc;

use tch::Tensor;

use super::{Coordinates, Estimate, Network};
use crate::process::{Level, Process};

/// A network that answers for a part of the path, at levels and in states of its own.
///
/// Both networks see noisy pictures of one kind: with the scales `s` and `s2` of their states, the level with the same noise
/// for each unit of the picture is that of the ratio `(s / s2) sigma / alpha`.
pub struct Stitch {
    /// Which.
    pub network: Network,
    /// It answers at levels whose `sigma / alpha` is above this.
    pub above: f64,
    /// Its model's process.
    pub process: Arc<dyn Process>,
}

impl Stitch {
    /// The states `x` `[n, C, h, w]` of a run at a level, as the network's own at its own level.
    ///
    /// With `x = alpha x0 + sigma eps` they are `alpha2 x02 + sigma2 eps = (sigma2 / sigma) x + alpha2 c`, where c is what
    /// the clean state 0 of the run is to the network: also without any signal.
    pub fn theirs(&self, own: &Coordinates, x: &Tensor, level: &Level) -> (Tensor, Level) {
        let theirs = &self.network.coordinates;
        let at = self.process.at_ratio(level.ratio() * own.scale() / theirs.scale());
        let scaled = x * (at.sigma / level.sigma);
        let states = if own.shifts() || theirs.shifts() {
            scaled + own.clean_in(theirs, &x.zeros_like()) * at.alpha
        } else {
            scaled
        };
        (states, at)
    }

    /// An estimate of the network's in the states of the run.
    pub fn ours(&self, own: &Coordinates, theirs: Estimate) -> Estimate {
        Estimate { x0: self.network.coordinates.clean_in(own, &theirs.x0), ..theirs }
    }
}
