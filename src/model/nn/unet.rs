//! The denoising network (Rombach et al. 2022): `UNet2DConditionModel`.

use tch::Tensor;

use super::{
    blocks::{BlockShape, Down, Middle, Told, Up},
    embedding::{Listeners, TimeEmbedding, TimeProjections, Waves},
    layer::{Conv, GroupNorm, Norm, silu},
    taps::Taps,
    transformer::TransformerShape,
    unet_config::UnetConfig,
};
use crate::{error::Result, model::format::weights::Part};

/// A UNet that is told the time and a text.
#[derive(Debug)]
pub struct Unet {
    waves: Waves,
    embedding: TimeEmbedding,
    projections: TimeProjections,
    enter: Conv,
    downs: Vec<Down>,
    middle: Option<Middle>,
    ups: Vec<Up>,
    norm: GroupNorm,
    leave: Conv,
}

impl Unet {
    /// Builds the network that the configuration describes.
    ///
    /// # Errors
    /// A missing, extra or misshapen tensor.
    pub fn new(part: &Part, config: &UnetConfig) -> Result<Self> {
        let (first, norm) = (config.widths[0], norm(config));
        let mut listeners = Listeners::default();
        let unet = Self {
            waves: Waves::new(first, config.cos_first, config.freq_shift, part.device()),
            embedding: TimeEmbedding::new(&part.at("time_embedding"), first, config.time_width)?,
            enter: Conv::new(&part.at("conv_in"), config.channels.0, first, config.kernels.0)?,
            downs: downs(part, config, &mut listeners)?,
            middle: middle(part, config, &mut listeners)?,
            ups: ups(part, config, &mut listeners)?,
            norm: GroupNorm::new(&part.at("conv_norm_out"), first, norm)?,
            leave: Conv::new(&part.at("conv_out"), first, config.channels.1, config.kernels.1)?,
            projections: TimeProjections::new(part, &listeners, config.time_width)?,
        };
        part.complete()?;
        Ok(unet)
    }

    /// Latents `[n, c, h, w]` and text `[n, l, d]` in the network's kind, times `[n]`, to `[n, c, h, w]`.
    pub fn forward(&self, x: &Tensor, t: &Tensor, text: &Tensor, taps: Taps) -> Tensor {
        let waves = self.waves.forward(t).to_kind(x.kind());
        let times = self.projections.forward(&self.embedding.forward(&waves));
        let told = Told { times: &times, text, taps };
        let mut skips = vec![self.enter.forward(x)];
        for down in &self.downs {
            down.forward(&mut skips, &told);
        }
        let coarsest = skips.last().map(Tensor::shallow_clone).expect("the first convolution is there");
        let mut x =
            self.middle.as_ref().map_or_else(|| coarsest.shallow_clone(), |middle| middle.forward(&coarsest, &told));
        for up in &self.ups {
            x = up.forward(x, &mut skips, &told);
        }
        self.leave.forward(&silu(&self.norm.forward(&x)))
    }
}

fn norm(config: &UnetConfig) -> Norm {
    Norm { groups: config.groups, eps: config.eps }
}

fn cross(config: &UnetConfig, i: usize) -> TransformerShape {
    TransformerShape {
        layers: config.depths[i],
        heads: config.heads[i],
        context: config.contexts[i],
        groups: config.groups,
        linear: config.linear,
        only_cross: config.only_cross[i],
        upcast: config.upcast,
    }
}

fn downs(part: &Part, config: &UnetConfig, listeners: &mut Listeners) -> Result<Vec<Down>> {
    let n = config.widths.len();
    let down = |i: usize| {
        let shape = BlockShape {
            width: config.widths[i],
            layers: config.layers[i],
            cross: config.cross_down[i].then(|| cross(config, i)),
            norm: norm(config),
            padding: config.padding,
            last: i + 1 == n,
        };
        Down::new(&part.at("down_blocks").at(i), config.widths[i.saturating_sub(1)], &shape, listeners)
    };
    (0..n).map(down).collect()
}

fn middle(part: &Part, config: &UnetConfig, listeners: &mut Listeners) -> Result<Option<Middle>> {
    let last = config.widths.len() - 1;
    let shape = TransformerShape { only_cross: false, ..cross(config, last) };
    let new = || Middle::new(&part.at("mid_block"), config.widths[last], norm(config), shape, listeners);
    config.middle.then(new).transpose()
}

/// Channels of the skips in the order in which they are pushed.
fn skips(config: &UnetConfig) -> Vec<i64> {
    let mut skips = vec![config.widths[0]];
    for (i, (width, layers)) in config.widths.iter().zip(&config.layers).enumerate() {
        let halved = i64::from(i + 1 < config.widths.len());
        skips.extend((0..layers + halved).map(|_| width));
    }
    skips
}

fn ups(part: &Part, config: &UnetConfig, listeners: &mut Listeners) -> Result<Vec<Up>> {
    let n = config.widths.len();
    let mut skips = skips(config);
    let up = |i: usize| {
        let place = n - 1 - i;
        let shape = BlockShape {
            width: config.widths[place],
            layers: config.layers[place] + 1,
            cross: config.cross_up[i].then(|| cross(config, place)),
            norm: norm(config),
            padding: config.padding,
            last: i + 1 == n,
        };
        let taken: Vec<_> = (0..shape.layers).filter_map(|_| skips.pop()).collect();
        let from = config.widths[(place + 1).min(n - 1)];
        Up::new(&part.at("up_blocks").at(i), from, &taken, &shape, listeners)
    };
    (0..n).map(up).collect()
}
