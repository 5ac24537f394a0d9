//! Residual blocks and the changes of resolution between them.

use tch::Tensor;

use super::{
    embedding::Listeners,
    layer::{Conv, GroupNorm, Norm, silu},
};
use crate::{error::Result, model::format::weights::Part};

/// Two convolutions beside a shortcut (He et al. 2016), told the time between them.
#[derive(Debug)]
pub struct Resnet {
    norm1: GroupNorm,
    conv1: Conv,
    norm2: GroupNorm,
    conv2: Conv,
    shortcut: Option<Conv>,
    listens: Option<usize>,
}

impl Resnet {
    /// From `from` to `to` channels. A block that is given `listeners` is told the time.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn new(part: &Part, from: i64, to: i64, norm: Norm, listeners: Option<&mut Listeners>) -> Result<Self> {
        let shortcut = if from == to { None } else { Some(Conv::new(&part.at("conv_shortcut"), from, to, 1)?) };
        Ok(Self {
            norm1: GroupNorm::new(&part.at("norm1"), from, norm)?,
            conv1: Conv::new(&part.at("conv1"), from, to, 3)?,
            norm2: GroupNorm::new(&part.at("norm2"), to, norm)?,
            conv2: Conv::new(&part.at("conv2"), to, to, 3)?,
            shortcut,
            listens: listeners.map(|listeners| listeners.add(part, to)),
        })
    }

    /// `[n, from, h, w]` to `[n, to, h, w]`; `times` is what the projections of all blocks say.
    pub fn forward(&self, x: &Tensor, times: &[Tensor]) -> Tensor {
        let mut inner = self.conv1.forward(&silu(&self.norm1.forward(x)));
        if let Some(place) = self.listens {
            inner = inner + &times[place];
        }
        let inner = self.conv2.forward(&silu(&self.norm2.forward(&inner)));
        match &self.shortcut {
            Some(shortcut) => shortcut.forward(x) + inner,
            None => inner + x,
        }
    }
}

/// Half the resolution, by a convolution with stride 2.
#[derive(Debug)]
pub struct Downsample {
    conv: Conv,
    lopsided: bool,
}

impl Downsample {
    /// From `{conv}`. Padding 0 means one row and column at the right and bottom only.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn new(part: &Part, channels: i64, padding: i64) -> Result<Self> {
        let conv = Conv::new(&part.at("conv"), channels, channels, 3)?.strided(2, padding);
        Ok(Self { conv, lopsided: padding == 0 })
    }

    /// `[n, c, h, w]` to `[n, c, h / 2, w / 2]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        if self.lopsided { self.conv.forward(&x.constant_pad_nd([0, 1, 0, 1])) } else { self.conv.forward(x) }
    }
}

/// Twice the resolution: each pixel four times, then a convolution.
#[derive(Debug)]
pub struct Upsample {
    conv: Conv,
}

impl Upsample {
    /// From `{conv}`.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn new(part: &Part, channels: i64) -> Result<Self> {
        Ok(Self { conv: Conv::new(&part.at("conv"), channels, channels, 3)? })
    }

    /// `[n, c, h, w]` to `[n, c, 2 h, 2 w]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        self.conv.forward(&x.upsample_nearest2d([2 * size[2], 2 * size[3]], None, None))
    }
}
