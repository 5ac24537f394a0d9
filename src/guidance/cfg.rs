use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Branch, Guidance};

/// Classifier-free guidance: `e_u + scale (e_c - e_u)` (Ho and Salimans 2022, eq. 6 with their w = scale - 1).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Cfg {
    /// How strongly. 1: the condition alone, one row per picture, the negative prompt is not read; 0: the negative alone.
    #[schema(minimum = 0, maximum = 100)]
    pub scale: f64,
    /// Share in which the result is brought back to the standard deviation of the conditional answer (Lin et al. 2024,
    /// eq. 15 and 16).
    #[schema(minimum = 0, maximum = 1)]
    pub rescale: f64,
    /// From and to, as shares of the steps (0: the noisiest): outside the condition stands alone, in one row per picture
    /// (Kynkaanniemi et al. 2024, arXiv 2404.07724).
    #[schema(min_items = 2, max_items = 2)]
    pub interval: [f64; 2],
}

impl Default for Cfg {
    fn default() -> Self {
        Self { scale: 7.5, rescale: 0.0, interval: [0.0, 1.0] }
    }
}

impl Cfg {
    fn covers(&self, share: f64) -> bool {
        let [from, to] = self.interval;
        from <= share && (share < to || to >= 1.0)
    }

    fn rescaled(&self, mixed: &Tensor, conditional: &Tensor) -> Tensor {
        let rest: Vec<i64> = (1..mixed.dim()).map(|dim| i64::try_from(dim).expect("few dimensions")).collect();
        let deviation = |tensor: &Tensor| tensor.std_dim(&rest[..], true, true);
        let factor = deviation(conditional) / deviation(mixed).clamp_min(1e-12);
        mixed * (factor * self.rescale + (1.0 - self.rescale))
    }
}

impl Guidance for Cfg {
    fn branches(&self, share: f64) -> &'static [Branch] {
        if self.scale == 1.0 || !self.covers(share) {
            &[Branch::Positive]
        } else if self.scale == 0.0 {
            &[Branch::Negative]
        } else {
            &[Branch::Negative, Branch::Positive]
        }
    }

    fn mix(&self, outputs: &[Tensor]) -> Tensor {
        let [negative, positive] = outputs else { return outputs[0].shallow_clone() };
        let mixed = negative.lerp(positive, self.scale);
        if self.rescale > 0.0 { self.rescaled(&mixed, positive) } else { mixed }
    }
}
