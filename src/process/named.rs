use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Betas, Flow, MeanReverting, Process, Resfusion, Residual, Theta, Ve, Vp};

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
    /// Mean reverting, that of IR-SDE: cosine, 100 times, 0.005 of the signal left, noise of 50/255 of the pictures'
    /// range.
    MeanReverting,
    /// Residual denoising, that of RDDM with noise of unit variance.
    Residual,
    /// Resfusion, 100 of 273 times.
    Resfusion,
}

impl Named {
    /// Every process.
    pub const ALL: [Self; 8] = [
        Self::Linear,
        Self::ScaledLinear,
        Self::Cosine,
        Self::Ve,
        Self::Flow,
        Self::MeanReverting,
        Self::Residual,
        Self::Resfusion,
    ];

    /// The process of that name, with the usual 1000 training times where it has such.
    pub fn process(self) -> Arc<dyn Process> {
        match self {
            Self::Linear => Arc::new(Vp::new(&Betas::Linear { ends: (1e-4, 0.02), steps: 1000 })),
            Self::ScaledLinear => Arc::new(Vp::new(&Betas::ScaledLinear { ends: (0.00085, 0.012), steps: 1000 })),
            Self::Cosine => Arc::new(Vp::new(&Betas::Cosine { steps: 1000 })),
            Self::Ve => Arc::new(Ve::default()),
            Self::Flow => Arc::new(Flow::default()),
            // Our pictures have the range -1..1, those of IR-SDE 0..1.
            Self::MeanReverting => Arc::new(MeanReverting::new(Theta::Cosine, 100, 0.005, 100.0 / 255.0)),
            Self::Residual => Arc::new(Residual::new(1000, 1.0)),
            Self::Resfusion => Arc::new(Resfusion::new(273)),
        }
    }
}
