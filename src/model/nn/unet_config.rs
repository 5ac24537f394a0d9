//! `unet/config.json`.

use std::path::Path;

use crate::{
    error::Result,
    model::{Block, format::options::Options},
};

/// The options of a UNet that are implemented. Lists have one entry for each resolution, finest first.
#[derive(Clone, Debug)]
pub struct UnetConfig {
    /// Native height and width of the latents, where the file says.
    pub sample_size: Option<i64>,
    /// Channels in and out.
    pub channels: (i64, i64),
    /// Sides of the first and last convolution's kernel.
    pub kernels: (i64, i64),
    /// Whether cosines come before sines.
    pub cos_first: bool,
    /// Shift of the frequencies.
    pub freq_shift: f64,
    /// Width of the time embedding.
    pub time_width: i64,
    /// Channels.
    pub widths: Vec<i64>,
    /// Residual blocks on the way down; one more on the way up.
    pub layers: Vec<i64>,
    /// Blocks in each transformer.
    pub depths: Vec<i64>,
    /// Heads of attention.
    pub heads: Vec<i64>,
    /// Channels of the text.
    pub contexts: Vec<i64>,
    /// Whether both attentions look at the text.
    pub only_cross: Vec<bool>,
    /// Whether there are transformers on the way down.
    pub cross_down: Vec<bool>,
    /// Whether there are transformers on the way up; coarsest first.
    pub cross_up: Vec<bool>,
    /// Whether there is a middle block.
    pub middle: bool,
    /// Padding of the halvings.
    pub padding: i64,
    /// Groups of the norms.
    pub groups: i64,
    /// Added to variances.
    pub eps: f64,
    /// Whether transformers are entered through linear layers.
    pub linear: bool,
    /// Whether attention is computed in f32.
    pub upcast: bool,
}

impl UnetConfig {
    /// The blocks and their layers, as a tap sees them.
    pub fn blocks(&self) -> Vec<Block> {
        let last = self.widths.len() - 1;
        let block = |name: String, place: usize, halved: usize| Block {
            name,
            channels: self.widths[place],
            halved: u32::try_from(halved).expect("few levels"),
        };
        let layers = |name: &str, place: usize, layers: i64, after: usize| {
            let inner: Vec<_> = (0..layers).map(|layer| block(format!("{name}.{layer}"), place, place)).collect();
            inner.into_iter().chain([block(name.to_owned(), place, after)])
        };
        let down = (0..=last).flat_map(|i| layers(&format!("down_blocks.{i}"), i, self.layers[i], (i + 1).min(last)));
        let middle = self.middle.then(|| block("mid_block".into(), last, last));
        let up = (0..=last).flat_map(|i| {
            let place = last - i;
            layers(&format!("up_blocks.{i}"), place, self.layers[place] + 1, place.saturating_sub(1))
        });
        down.chain(middle).chain(up).collect()
    }

    /// Reads a `UNet2DConditionModel` configuration.
    ///
    /// # Errors
    /// A broken file, or an option that is not implemented set to anything but its default.
    pub fn read(path: &Path) -> Result<Self> {
        let mut options = Options::read(path)?;
        refuse(&mut options)?;
        let widths: Vec<i64> = options.take("block_out_channels", vec![320, 640, 1280, 1280])?;
        let n = widths.len();
        if n == 0 || widths.iter().any(|width| *width <= 0) {
            return Err(options.wrong("`block_out_channels` must be positive"));
        }
        let config = Self {
            sample_size: side(&mut options)?,
            channels: (options.take("in_channels", 4)?, options.take("out_channels", 4)?),
            kernels: (options.take("conv_in_kernel", 3)?, options.take("conv_out_kernel", 3)?),
            cos_first: options.take("flip_sin_to_cos", true)?,
            freq_shift: options.take("freq_shift", 0.0)?,
            time_width: options.take("time_embedding_dim", 4 * widths[0])?,
            layers: options.each("layers_per_block", 2, n)?,
            depths: options.each("transformer_layers_per_block", 1, n)?,
            heads: options.each("attention_head_dim", 8, n)?,
            contexts: options.each("cross_attention_dim", 1280, n)?,
            only_cross: options.each("only_cross_attention", false, n)?,
            cross_down: blocks(&mut options, "down_block_types", ["DownBlock2D", "CrossAttnDownBlock2D"], n)?,
            cross_up: blocks(&mut options, "up_block_types", ["UpBlock2D", "CrossAttnUpBlock2D"], n)?,
            middle: middle(&mut options)?,
            padding: options.take("downsample_padding", 1)?,
            groups: options.take("norm_num_groups", 32)?,
            eps: options.take("norm_eps", 1e-5)?,
            linear: options.take("use_linear_projection", false)?,
            upcast: options.take("upcast_attention", false)?,
            widths,
        };
        config.check(&options)?;
        options.done()?;
        Ok(config)
    }

    fn check(&self, options: &Options) -> Result<()> {
        let fits = |by: &[i64]| self.widths.iter().zip(by).all(|(width, by)| *by > 0 && width % by == 0);
        if !fits(&self.heads) {
            return Err(options.wrong("`attention_head_dim` (the number of heads) must divide `block_out_channels`"));
        }
        if !fits(&vec![self.groups; self.widths.len()]) {
            return Err(options.wrong("`norm_num_groups` must divide `block_out_channels`"));
        }
        Ok(())
    }
}

/// Options that have one implemented value, and options that only training or Python reads.
fn refuse(options: &mut Options) -> Result<()> {
    options.only("act_fn", &["silu", "swish"])?;
    options.only("mid_block_scale_factor", &["1", "1.0"])?;
    options.only("resnet_out_scale_factor", &["1", "1.0"])?;
    options.only("resnet_time_scale_shift", &["default"])?;
    options.only("time_embedding_type", &["positional"])?;
    options.only("attention_type", &["default"])?;
    options.skip(&["dropout", "addition_embed_type_num_heads"]);
    Ok(())
}

fn side(options: &mut Options) -> Result<Option<i64>> {
    match options.each::<i64>("sample_size", 0, 2)?[..] {
        [height, width] if height == width => Ok((height > 0).then_some(height)),
        _ => Err(options.wrong("`sample_size` must be square")),
    }
}

fn middle(options: &mut Options) -> Result<bool> {
    let default = "UNetMidBlock2DCrossAttn";
    match options.given::<String>("mid_block_type", default.into())? {
        None => Ok(false),
        Some(name) if name == default => Ok(true),
        Some(other) => Err(options.wrong(format!("`mid_block_type`: {other} is not implemented"))),
    }
}

/// Whether each block has transformers: `names` are those without and with.
fn blocks(options: &mut Options, key: &str, names: [&str; 2], n: usize) -> Result<Vec<bool>> {
    let types: Vec<String> = options.need(key)?;
    if types.len() != n {
        return Err(options.wrong(format!("`{key}` must have {n} entries")));
    }
    let known = |name: &String| match name {
        name if name == names[0] => Ok(false),
        name if name == names[1] => Ok(true),
        other => Err(options.wrong(format!("`{key}`: {other} is not implemented"))),
    };
    types.iter().map(known).collect()
}
