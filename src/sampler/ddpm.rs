use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Rule, Span, Weights,
    ddim::{published, published_variance},
};
use crate::denoiser::Threshold;

/// The ancestral chain of DDPM, over any subset of the training times (Ho et al. 2020, eq. 6 and 7).
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Ddpm {
    /// Variance of a step.
    #[schema(inline)]
    pub variance: Variance,
    /// Brings clean pictures into their range; null: leaves them as they are.
    #[schema(inline)]
    pub threshold: Option<Threshold>,
}

/// Variance of a DDPM step; section 3.2 of Ho et al. 2020 has the first two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variance {
    /// That of the posterior, right for a single picture.
    #[default]
    Small,
    /// That of the forward step, right for standard normal data.
    Large,
    /// Between the two as the network says, for models that do (Nichol and Dhariwal 2021, arXiv 2102.09672, eq. 15).
    Learned,
}

impl Rule for Ddpm {
    fn history(&self) -> usize {
        1
    }

    fn predict(&self, s: &Span) -> Weights {
        let weights = published(s, 1.0);
        let most = published_variance(s).sqrt();
        match self.variance {
            Variance::Large if s.to.sigma > 0.0 => Weights { z: most, ..weights },
            Variance::Learned => Weights { z_most: Some(most), ..weights },
            _ => weights,
        }
    }

    fn stochastic(&self) -> bool {
        true
    }

    fn reads_variance(&self) -> bool {
        self.variance == Variance::Learned
    }

    fn threshold(&self) -> Option<Threshold> {
        self.threshold
    }
}
