use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Betas, Flow, Process, Ve, Vp};

/// The processes that models are usually trained on, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// Variance preserving, `beta` linear from 1e-4 to 0.02.
    Linear,
    /// Variance preserving, the one of Stable Diffusion.
    ScaledLinear,
    /// Variance preserving, cosine.
    Cosine,
    /// Variance exploding.
    Ve,
    /// Flow matching.
    Flow,
}

impl Named {
    /// Every process.
    pub const ALL: [Self; 5] = [Self::Linear, Self::ScaledLinear, Self::Cosine, Self::Ve, Self::Flow];

    /// The process of that name, with the usual 1000 training times where it has such.
    pub fn process(self) -> Arc<dyn Process> {
        match self {
            Self::Linear => Arc::new(Vp::new(&Betas::Linear { ends: (1e-4, 0.02), steps: 1000 })),
            Self::ScaledLinear => Arc::new(Vp::new(&Betas::ScaledLinear { ends: (0.00085, 0.012), steps: 1000 })),
            Self::Cosine => Arc::new(Vp::new(&Betas::Cosine { steps: 1000 })),
            Self::Ve => Arc::new(Ve::default()),
            Self::Flow => Arc::new(Flow::default()),
        }
    }
}
