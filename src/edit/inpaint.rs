use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Fill, Hold, Method};
use crate::process::Grid;

/// Inpainting with any model: on the way, what the mask keeps is told to the sampler instead of asked of the network
/// (Avrahami et al. 2023, arXiv 2206.02779), and some steps may be gone again so that both parts agree (RePaint, Lugmayr
/// et al. 2022). In the end the kept pixels are put back.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Inpaint {
    /// Pixels over which the edge of the mask is spread, as a tent of that half width along both axes.
    #[schema(minimum = 0, maximum = 256)]
    pub feather: u32,
    /// How often each stretch of `jump` steps is gone; 1: once. Samplers that draw noise of their own agree better.
    #[schema(minimum = 1, maximum = 20)]
    pub resample: u32,
    /// Steps that are gone again at a time.
    #[schema(minimum = 1, maximum = 50)]
    pub jump: u32,
    /// The noise with which the network sees the kept part: `path` that of its own way from the start, `fresh` another one
    /// at each evaluation, as RePaint has it.
    #[schema(inline)]
    pub noise: KeptNoise,
    /// What stands where the mask is white before the noise comes over it, of which the more is left the lower the
    /// `strength`: `original` the picture itself, `surroundings` the colours around, `noise` the seed's noise, `nothing`
    /// latents of 0.
    #[schema(inline)]
    pub fill: Fill,
}

/// The noise on what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeptNoise {
    /// That of its way.
    Path,
    /// Another one at each evaluation.
    Fresh,
}

impl Default for Inpaint {
    fn default() -> Self {
        Self { feather: 0, resample: 1, jump: 10, noise: KeptNoise::Path, fill: Fill::Original }
    }
}

impl Method for Inpaint {
    /// Down, and from every `jump`-th level before the last step back up `jump` levels, `resample - 1` times each (the
    /// paper's figure 9).
    fn legs(&self, tail: Grid) -> Vec<Grid> {
        let (steps, jump) = (tail.len(), self.jump as usize);
        let mut left = vec![0; steps + 1];
        let places = (0..steps.saturating_sub(jump)).step_by(jump);
        places.for_each(|clean| left[steps - 1 - clean] = self.resample - 1);
        let (mut legs, mut start, mut at) = (Vec::new(), 0, 0);
        while at < steps {
            at += 1;
            if left[at] > 0 {
                left[at] -= 1;
                legs.push(tail.between(start, at));
                at -= jump;
                start = at;
            }
        }
        legs.push(tail.between(start, steps));
        legs
    }

    fn feather(&self) -> u32 {
        self.feather
    }

    fn fill(&self) -> Fill {
        self.fill
    }

    fn hold(&self) -> Option<Hold> {
        Some(match self.noise {
            KeptNoise::Path => Hold::Path,
            KeptNoise::Fresh => Hold::Fresh,
        })
    }
}
