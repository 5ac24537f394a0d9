//! The autoencoder between pixels and latents (Rombach et al. 2022, section 3.1): `AutoencoderKL`.

use std::path::Path;

use tch::Tensor;

use super::{
    attention::{Attention, Names, Shape},
    layer::{Conv, GroupNorm, Norm, silu},
    resnet::{Downsample, Resnet, Upsample},
};
use crate::{
    error::Result,
    model::format::{options::Options, weights::Part},
};

/// The options of an autoencoder that are implemented.
#[derive(Clone, Debug)]
pub struct VaeConfig {
    /// Native height and width of the pictures.
    pub sample_size: i64,
    /// Channels of a picture, in and out.
    pub channels: (i64, i64),
    /// Channels of the latents.
    pub latent_channels: i64,
    /// Channels at each resolution, finest first.
    pub widths: Vec<i64>,
    /// Residual blocks of the encoder at each resolution; the decoder has one more.
    pub layers: i64,
    /// Groups of the norms.
    pub groups: i64,
    /// Latents are multiplied by this for the denoising network.
    pub scaling_factor: f64,
    /// Whether 16-bit floats with a narrow range are too narrow for it.
    pub force_upcast: bool,
    /// Whether there is a convolution behind the encoder, and one before the decoder.
    pub quant: (bool, bool),
    /// Whether the middle attends to itself.
    pub attention: bool,
}

impl VaeConfig {
    /// Reads an `AutoencoderKL` configuration.
    ///
    /// # Errors
    /// A broken file, or an option that is not implemented set to anything but its default.
    pub fn read(path: &Path) -> Result<Self> {
        let mut options = Options::read(path)?;
        options.only("act_fn", &["silu", "swish"])?;
        let widths: Vec<i64> = options.take("block_out_channels", vec![64])?;
        for (key, block) in [("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")] {
            let types: Vec<String> = options.take(key, vec![block.to_owned()])?;
            if types.len() != widths.len() || types.iter().any(|name| name != block) {
                return Err(options.wrong(format!("`{key}` must be {} times {block}", widths.len())));
            }
        }
        let config = Self {
            sample_size: options.each("sample_size", 32, 2)?[0],
            channels: (options.take("in_channels", 3)?, options.take("out_channels", 3)?),
            latent_channels: options.take("latent_channels", 4)?,
            layers: options.take("layers_per_block", 1)?,
            groups: options.take("norm_num_groups", 32)?,
            scaling_factor: options.take("scaling_factor", 0.18215)?,
            force_upcast: options.take("force_upcast", true)?,
            quant: (options.take("use_quant_conv", true)?, options.take("use_post_quant_conv", true)?),
            attention: options.take("mid_block_add_attention", true)?,
            widths,
        };
        if config.widths.is_empty() || config.widths.iter().any(|width| *width <= 0 || width % config.groups != 0) {
            return Err(options.wrong("`norm_num_groups` must divide `block_out_channels`"));
        }
        options.done()?;
        Ok(config)
    }

    /// Pixels per latent cell along each side.
    pub fn factor(&self) -> u32 {
        1 << (self.widths.len() - 1)
    }

    fn norm(&self) -> Norm {
        Norm { groups: self.groups, eps: 1e-6 }
    }

    fn coarsest(&self) -> i64 {
        self.widths[self.widths.len() - 1]
    }
}

/// Encoder and decoder.
#[derive(Debug)]
pub struct Vae {
    encoder: Encoder,
    decoder: Decoder,
    quant: Option<Conv>,
    post_quant: Option<Conv>,
}

impl Vae {
    /// Builds the network that the configuration describes.
    ///
    /// # Errors
    /// A missing, extra or misshapen tensor.
    pub fn new(part: &Part, config: &VaeConfig) -> Result<Self> {
        let conv = |name: &str, width: i64| Conv::new(&part.at(name), width, width, 1);
        let z = config.latent_channels;
        let vae = Self {
            encoder: Encoder::new(&part.at("encoder"), config)?,
            decoder: Decoder::new(&part.at("decoder"), config)?,
            quant: config.quant.0.then(|| conv("quant_conv", 2 * z)).transpose()?,
            post_quant: config.quant.1.then(|| conv("post_quant_conv", z)).transpose()?,
        };
        part.complete()?;
        Ok(vae)
    }

    /// Pixels `[n, 3, H, W]` in -1..1 to the mean of their latents' distribution, `[n, z, h, w]`, not scaled.
    pub fn encode(&self, x: &Tensor) -> Tensor {
        let moments = self.encoder.forward(x);
        let moments = self.quant.as_ref().map_or_else(|| moments.shallow_clone(), |quant| quant.forward(&moments));
        moments.narrow(1, 0, moments.size()[1] / 2)
    }

    /// Latents `[n, z, h, w]`, not scaled, to pixels `[n, 3, H, W]` in about -1..1.
    pub fn decode(&self, z: &Tensor) -> Tensor {
        match &self.post_quant {
            Some(post_quant) => self.decoder.forward(&post_quant.forward(z)),
            None => self.decoder.forward(z),
        }
    }
}

#[derive(Debug)]
struct Encoder {
    enter: Conv,
    downs: Vec<(Vec<Resnet>, Option<Downsample>)>,
    middle: Middle,
    norm: GroupNorm,
    leave: Conv,
}

impl Encoder {
    fn new(part: &Part, config: &VaeConfig) -> Result<Self> {
        let (widths, coarsest) = (&config.widths, config.coarsest());
        let down = |i: usize| -> Result<_> {
            let part = part.at("down_blocks").at(i);
            let resnets = resnets(&part, widths[i.saturating_sub(1)], widths[i], config.layers, config.norm())?;
            let halve = || Downsample::new(&part.at("downsamplers.0"), widths[i], 0);
            Ok((resnets, (i + 1 < widths.len()).then(halve).transpose()?))
        };
        Ok(Self {
            enter: Conv::new(&part.at("conv_in"), config.channels.0, widths[0], 3)?,
            downs: (0..widths.len()).map(down).collect::<Result<_>>()?,
            middle: Middle::new(&part.at("mid_block"), config)?,
            norm: GroupNorm::new(&part.at("conv_norm_out"), coarsest, config.norm())?,
            leave: Conv::new(&part.at("conv_out"), coarsest, 2 * config.latent_channels, 3)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let mut x = self.enter.forward(x);
        for (resnets, halve) in &self.downs {
            x = run(resnets, x);
            x = halve.as_ref().map_or_else(|| x.shallow_clone(), |halve| halve.forward(&x));
        }
        self.leave.forward(&silu(&self.norm.forward(&self.middle.forward(&x))))
    }
}

#[derive(Debug)]
struct Decoder {
    enter: Conv,
    middle: Middle,
    ups: Vec<(Vec<Resnet>, Option<Upsample>)>,
    norm: GroupNorm,
    leave: Conv,
}

impl Decoder {
    fn new(part: &Part, config: &VaeConfig) -> Result<Self> {
        let widths: Vec<_> = config.widths.iter().rev().copied().collect();
        let up = |i: usize| -> Result<_> {
            let part = part.at("up_blocks").at(i);
            let resnets = resnets(&part, widths[i.saturating_sub(1)], widths[i], config.layers + 1, config.norm())?;
            let double = || Upsample::new(&part.at("upsamplers.0"), widths[i]);
            Ok((resnets, (i + 1 < widths.len()).then(double).transpose()?))
        };
        Ok(Self {
            enter: Conv::new(&part.at("conv_in"), config.latent_channels, widths[0], 3)?,
            middle: Middle::new(&part.at("mid_block"), config)?,
            ups: (0..widths.len()).map(up).collect::<Result<_>>()?,
            norm: GroupNorm::new(&part.at("conv_norm_out"), config.widths[0], config.norm())?,
            leave: Conv::new(&part.at("conv_out"), config.widths[0], config.channels.1, 3)?,
        })
    }

    fn forward(&self, z: &Tensor) -> Tensor {
        let mut x = self.middle.forward(&self.enter.forward(z));
        for (resnets, double) in &self.ups {
            x = run(resnets, x);
            x = double.as_ref().map_or_else(|| x.shallow_clone(), |double| double.forward(&x));
        }
        self.leave.forward(&silu(&self.norm.forward(&x)))
    }
}

fn resnets(part: &Part, from: i64, to: i64, count: i64, norm: Norm) -> Result<Vec<Resnet>> {
    let enters = |i| if i == 0 { from } else { to };
    (0..count).map(|i| Resnet::new(&part.at("resnets").at(i), enters(i), to, norm, None)).collect()
}

fn run(resnets: &[Resnet], x: Tensor) -> Tensor {
    resnets.iter().fold(x, |x, resnet| resnet.forward(&x, &[]))
}

/// Two residual blocks with attention between them.
#[derive(Debug)]
struct Middle {
    first: Resnet,
    attention: Option<(GroupNorm, Attention)>,
    second: Resnet,
}

impl Middle {
    fn new(part: &Part, config: &VaeConfig) -> Result<Self> {
        let (width, norm) = (config.coarsest(), config.norm());
        let attention = || -> Result<_> {
            let part = part.at("attentions.0");
            let names = if part.has("query.") { Names::OLD_VAE } else { Names::DIFFUSERS };
            let shape = Shape { width, heads: 1, context: None, bias: true, upcast: false, causal: false };
            Ok((GroupNorm::new(&part.at("group_norm"), width, norm)?, Attention::new(&part, names, shape)?))
        };
        Ok(Self {
            first: Resnet::new(&part.at("resnets.0"), width, width, norm, None)?,
            attention: config.attention.then(attention).transpose()?,
            second: Resnet::new(&part.at("resnets.1"), width, width, norm, None)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let x = self.first.forward(x, &[]);
        let Some((norm, attention)) = &self.attention else { return self.second.forward(&x, &[]) };
        let rows = norm.forward(&x).flatten(2, 3).transpose(1, 2);
        let mixed = attention.forward(&rows, &rows, None).transpose(1, 2).reshape(x.size());
        self.second.forward(&(mixed + x), &[])
    }
}
