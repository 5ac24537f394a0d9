//! What a network is told about the noise level, and how each residual block hears it.

use tch::{Device, Kind, Tensor};

use super::layer::Linear;
use crate::{error::Result, model::format::weights::Part};

/// Waves of a number: `cos` and `sin` of `t` at frequencies from 1 down to `1 / 10000` (Vaswani et al. 2017, section 3.5;
/// Ho et al. 2020, appendix B).
#[derive(Debug)]
pub struct Waves {
    frequencies: Tensor,
    cos_first: bool,
    odd: bool,
}

impl Waves {
    /// `width` numbers for each time; frequency k is `10000^(-k / (width / 2 - shift))`.
    pub fn new(width: i64, cos_first: bool, shift: f64, device: Device) -> Self {
        let half = width / 2;
        let exponent = Tensor::arange(half, (Kind::Float, device)) * -(10000f64.ln()) / (half as f64 - shift);
        Self { frequencies: exponent.exp(), cos_first, odd: width % 2 == 1 }
    }

    /// Times `[n]` to `[n, width]`, in f32.
    pub fn forward(&self, t: &Tensor) -> Tensor {
        let angle = t.to_kind(Kind::Float).unsqueeze(1) * &self.frequencies;
        let waves = if self.cos_first { [angle.cos(), angle.sin()] } else { [angle.sin(), angle.cos()] };
        let waves = Tensor::cat(&waves, 1);
        if self.odd { waves.constant_pad_nd([0, 1]) } else { waves }
    }
}

/// Two linear maps with SiLU between.
#[derive(Debug)]
pub struct TimeEmbedding {
    first: Linear,
    second: Linear,
}

impl TimeEmbedding {
    /// From `{linear_1, linear_2}`.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn new(part: &Part, from: i64, to: i64) -> Result<Self> {
        Ok(Self {
            first: Linear::new(&part.at("linear_1"), from, to)?,
            second: Linear::new(&part.at("linear_2"), to, to)?,
        })
    }

    /// `[n, from]` to `[n, to]`.
    pub fn forward(&self, waves: &Tensor) -> Tensor {
        self.second.forward(&self.first.forward(waves).silu())
    }
}

/// The residual blocks of a network that listen to the time, collected while it is built.
#[derive(Debug, Default)]
pub struct Listeners {
    rows: Vec<(String, i64)>,
}

impl Listeners {
    /// Notes a block whose `time_emb_proj` has `channels` outputs, and returns its place among all.
    pub fn add(&mut self, part: &Part, channels: i64) -> usize {
        self.rows.push((part.at("time_emb_proj").path(), channels));
        self.rows.len() - 1
    }
}

/// The time projections of all residual blocks as one matrix product.
#[derive(Debug)]
pub struct TimeProjections {
    all: Linear,
    channels: Vec<i64>,
}

impl TimeProjections {
    /// From the root of the network and the blocks that were collected; `width` is that of the time embedding.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn new(root: &Part, listeners: &Listeners, width: i64) -> Result<Self> {
        let channels = listeners.rows.iter().map(|(_, channels)| *channels).collect();
        Ok(Self { all: Linear::stacked(root, &listeners.rows, width, true)?, channels })
    }

    /// Embedding `[n, width]` to what each block adds to its channels, `[n, channels, 1, 1]`.
    pub fn forward(&self, embedding: &Tensor) -> Vec<Tensor> {
        let all = self.all.forward(&embedding.silu());
        let each = all.split_with_sizes(&self.channels, 1);
        each.into_iter().map(|rows| rows.unsqueeze(2).unsqueeze(3)).collect()
    }
}
