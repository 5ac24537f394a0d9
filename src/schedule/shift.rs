use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Ground, Points, Spacing, Wanted,
    ground::{of_share, share},
};
use crate::error::{Fault, Result};

/// Where the factor of a [`FlowShift`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is `shift`.
    Static,
    /// From the size of the picture, as a power of e.
    Exponential,
    /// From the size of the picture.
    Linear,
}

/// Equal strides in the share of noise, `u = sigma / (alpha + sigma)`, before a shift to `s u / (1 + (s - 1) u)`, which is
/// `sigma / alpha` times s (Esser et al. 2024, eq. 23). Larger pictures need a greater s.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct FlowShift {
    /// Where s comes from: `static` is `shift`; `exponential`, exp(m), and `linear`, m, come from the picture's size, m
    /// being linear in the number of latent patches.
    #[schema(inline)]
    pub kind: Kind,
    /// s, for `static`.
    #[schema(minimum = 0.01, maximum = 100)]
    pub shift: f64,
    /// m at `base_image_seq_len` patches.
    #[schema(minimum = 0, maximum = 10)]
    pub base_shift: f64,
    /// m at `max_image_seq_len` patches.
    #[schema(minimum = 0, maximum = 10)]
    pub max_shift: f64,
    /// Latent patches of a small picture.
    #[schema(minimum = 1, maximum = 1048576)]
    pub base_image_seq_len: u32,
    /// Latent patches of a large picture.
    #[schema(minimum = 1, maximum = 1048576)]
    pub max_image_seq_len: u32,
    /// Height and width of a patch in latents.
    #[schema(minimum = 1, maximum = 64)]
    pub patch: u32,
    /// The strides end at the least noisy training level; otherwise one stride above 0.
    pub to_least: bool,
    /// Stretched afterwards so that the last share of noise before the end is this one; null: not.
    #[schema(minimum = 0.001, maximum = 0.9)]
    pub shift_terminal: Option<f64>,
}

impl Default for FlowShift {
    fn default() -> Self {
        Self {
            kind: Kind::Static,
            shift: 3.0,
            base_shift: 0.5,
            max_shift: 1.15,
            base_image_seq_len: 256,
            max_image_seq_len: 4096,
            patch: 2,
            to_least: false,
            shift_terminal: None,
        }
    }
}

impl FlowShift {
    /// m, from a line through the two given sizes.
    fn of_size(&self, ground: &Ground) -> f64 {
        let [_, height, width] = ground.latent.map(|side| side as f64);
        let patches =
            (height / f64::from(self.patch)).floor().max(1.0) * (width / f64::from(self.patch)).floor().max(1.0);
        let (base, most) = (f64::from(self.base_image_seq_len), f64::from(self.max_image_seq_len));
        self.base_shift + (self.max_shift - self.base_shift) * (patches - base) / (most - base)
    }

    fn factor(&self, ground: &Ground) -> f64 {
        match self.kind {
            Kind::Static => self.shift,
            Kind::Exponential => self.of_size(ground).exp(),
            Kind::Linear => self.of_size(ground),
        }
    }

    /// Shares of noise before the shift. Processes other than flow matching start where their training starts.
    fn even(&self, wanted: &Wanted) -> impl Iterator<Item = f64> {
        let (low, top) = wanted.ground.ends();
        let (low, top) = if self.to_least { (share(low), share(top)) } else { (0.0, share(top)) };
        let gaps = if self.to_least { (wanted.steps - 1).max(1) } else { wanted.steps } as f64;
        (0..wanted.steps).map(move |k| top + (low - top) * k as f64 / gaps)
    }
}

impl Spacing for FlowShift {
    fn points(&self, wanted: &Wanted) -> Points {
        let factor = self.factor(wanted.ground);
        let shifted: Vec<f64> = self.even(wanted).map(|even| share(factor * of_share(even))).collect();
        let least = shifted[wanted.steps - 1];
        // A single step has nothing to stretch.
        let stretch = self.shift_terminal.filter(|_| wanted.steps > 1).map_or(1.0, |to| (1.0 - to) / (1.0 - least));
        wanted.ratios(shifted.into_iter().map(|share| of_share(1.0 - (1.0 - share) * stretch)))
    }

    fn check(&self) -> Result<(), Fault> {
        if self.max_image_seq_len <= self.base_image_seq_len {
            return Err(Fault::new("/max_image_seq_len", "must be above `base_image_seq_len`"));
        }
        Ok(())
    }

    fn fits(&self, wanted: &Wanted) -> Result<(), Fault> {
        let factor = self.factor(wanted.ground);
        if (0.01..=1e4).contains(&factor) {
            return Ok(());
        }
        Err(Fault::new(
            "/schedule/max_shift",
            format!("gives this size a factor of {factor:e}: it must be 0.01 to 1e4"),
        ))
    }
}
