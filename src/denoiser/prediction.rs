//! What a network predicts, and how its output becomes a clean picture and a noise.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use crate::process::Level;

/// What a network's raw output means, under `x = alpha x0 + sigma eps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prediction {
    /// The noise `eps` (Ho et al. 2020).
    Epsilon,
    /// `v = alpha eps - sigma x0` (Salimans and Ho 2022, appendix D).
    VPrediction,
    /// The clean picture `x0`.
    Sample,
    /// The velocity `eps - x0` (Lipman et al. 2023; Liu et al. 2023).
    Flow,
}

/// `x0 = a x + b out` and `eps = c x + d out`.
struct Coefficients {
    x0: (f64, f64),
    eps: (f64, f64),
}

impl Prediction {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Epsilon, Self::VPrediction, Self::Sample, Self::Flow];

    fn coefficients(self, level: &Level) -> Coefficients {
        let Level { alpha, sigma, .. } = *level;
        // v and flow: solve x = alpha x0 + sigma eps together with the definition of the output.
        let (v, flow) = (alpha * alpha + sigma * sigma, alpha + sigma);
        match self {
            Self::Epsilon => Coefficients { x0: (1.0 / alpha, -sigma / alpha), eps: (0.0, 1.0) },
            Self::Sample => Coefficients { x0: (0.0, 1.0), eps: (1.0 / sigma, -alpha / sigma) },
            Self::VPrediction => Coefficients { x0: (alpha / v, -sigma / v), eps: (sigma / v, alpha / v) },
            Self::Flow => Coefficients { x0: (1.0 / flow, -sigma / flow), eps: (1.0 / flow, alpha / flow) },
        }
    }

    /// Clean picture and noise from `x` `[n, ..]` at `level` and the raw output of the same shape.
    pub fn read(self, x: &Tensor, output: &Tensor, level: &Level) -> (Tensor, Tensor) {
        let Coefficients { x0, eps } = self.coefficients(level);
        (mix(x, x0.0, output, x0.1), mix(x, eps.0, output, eps.1))
    }

    /// The raw output that means this clean picture and noise; the inverse of [`Prediction::read`].
    pub fn write(self, x0: &Tensor, eps: &Tensor, level: &Level) -> Tensor {
        match self {
            Self::Epsilon => eps.shallow_clone(),
            Self::Sample => x0.shallow_clone(),
            Self::VPrediction => mix(eps, level.alpha, x0, -level.sigma),
            Self::Flow => mix(eps, 1.0, x0, -1.0),
        }
    }
}

fn mix(a: &Tensor, wa: f64, b: &Tensor, wb: f64) -> Tensor {
    match (wa, wb) {
        (0.0, 1.0) => b.shallow_clone(),
        (0.0, _) => b * wb,
        _ => a * wa + b * wb,
    }
}
