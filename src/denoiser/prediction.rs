//! What a network predicts, and how its output becomes a clean picture and a noise.

use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use crate::process::{Change, Level};

/// What a network's raw output means, under `x = alpha x0 + sigma eps`; under a change of variables x and x0 are those
/// of the solver, and mu is the degraded picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prediction {
    /// The noise `eps` (Ho et al. 2020); of IR-SDE, and SM-N of RDDM.
    Epsilon,
    /// `v = alpha eps - sigma x0` (Salimans and Ho 2022, appendix D), in the unit of the pictures.
    VPrediction,
    /// The clean picture.
    Sample,
    /// The velocity `eps - x0` (Lipman et al. 2023; Liu et al. 2023).
    Flow,
    /// The residual from the clean picture to the degraded one (SM-Res of Liu et al. 2024).
    Residual,
    /// The noise together with a share kappa of the residual (Shi et al. 2024, eq. 9).
    ResidualNoise,
}

/// What an output is read with besides the state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around<'a> {
    /// The change of variables at the level.
    pub change: Change,
    /// The degraded picture, `[n, ..]`; none counts as 0.
    pub mu: Option<&'a Tensor>,
}

/// Of state, output and degraded picture, in `x0 = a x + b out + c mu` and the like.
type Shares = [f64; 3];

struct Coefficients {
    x0: Shares,
    eps: Shares,
}

/// Signal below which a noise says nothing about the picture: what divides by less turns rounding into pictures.
const LEAST_SIGNAL: f64 = 1e-5;

impl Prediction {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Epsilon, Self::VPrediction, Self::Sample, Self::Flow, Self::Residual, Self::ResidualNoise];

    fn coefficients(self, level: &Level, change: Change) -> Coefficients {
        let Level { alpha, sigma, .. } = *level;
        let Change { scale, kappa, .. } = change;
        // v, flow and residual noise: solve x = alpha x0 + sigma eps together with the definition of the output.
        let (v, flow) = (alpha * alpha + sigma * sigma, alpha + sigma);
        let (share, both) = (kappa * scale, alpha + sigma * kappa * scale);
        match self {
            // Without signal the middle of what is left: mu itself.
            Self::Epsilon if alpha < LEAST_SIGNAL => Coefficients { x0: [0.0; 3], eps: [0.0, 1.0, 0.0] },
            Self::Epsilon => Coefficients { x0: [1.0 / alpha, -sigma / alpha, 0.0], eps: [0.0, 1.0, 0.0] },
            Self::Sample => of_x0([1.0 / scale, -1.0 / scale], level),
            Self::Residual => of_x0([-1.0 / scale, 0.0], level),
            Self::VPrediction => {
                Coefficients { x0: [alpha / v, -sigma / v / scale, 0.0], eps: [sigma / v, alpha / v / scale, 0.0] }
            }
            Self::Flow => Coefficients { x0: [1.0 / flow, -sigma / flow, 0.0], eps: [1.0 / flow, alpha / flow, 0.0] },
            Self::ResidualNoise => {
                Coefficients { x0: [1.0 / both, -sigma / both, 0.0], eps: [share / both, alpha / both, 0.0] }
            }
        }
    }

    /// Clean picture and noise from the state `x` `[n, ..]` at `level` and the raw output of the same shape.
    pub fn read(self, x: &Tensor, output: &Tensor, level: &Level, around: Around) -> (Tensor, Tensor) {
        let Coefficients { x0, eps } = self.coefficients(level, around.change);
        (mix(x0, x, output, around.mu), mix(eps, x, output, around.mu))
    }

    /// The raw output that means this clean picture and noise; the inverse of [`Prediction::read`].
    pub fn write(self, x0: &Tensor, eps: &Tensor, level: &Level, around: Around) -> Tensor {
        let Change { scale, kappa, .. } = around.change;
        match self {
            Self::Epsilon => eps.shallow_clone(),
            Self::Sample => mix([0.0, scale, 1.0], eps, x0, around.mu),
            Self::VPrediction => mix([level.alpha * scale, -level.sigma * scale, 0.0], eps, x0, None),
            Self::Flow => mix([1.0, -1.0, 0.0], eps, x0, None),
            Self::Residual => x0 * -scale,
            Self::ResidualNoise => mix([1.0, -kappa * scale, 0.0], eps, x0, None),
        }
    }
}

/// Of an output that gives the clean picture itself, as the shares of output and mu; the noise is what is left.
fn of_x0([output, mu]: [f64; 2], level: &Level) -> Coefficients {
    let left = -level.alpha / level.sigma;
    Coefficients { x0: [0.0, output, mu], eps: [1.0 / level.sigma, left * output, left * mu] }
}

fn mix([of_x, of_output, of_mu]: Shares, x: &Tensor, output: &Tensor, mu: Option<&Tensor>) -> Tensor {
    let own = match (of_x, of_output) {
        (0.0, 1.0) => output.shallow_clone(),
        (0.0, _) => output * of_output,
        _ => x * of_x + output * of_output,
    };
    match mu {
        Some(mu) if of_mu != 0.0 => own + mu * of_mu,
        _ => own,
    }
}
