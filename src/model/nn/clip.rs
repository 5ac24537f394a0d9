//! The text encoder (Radford et al. 2021): `CLIPTextModel`.

use std::path::Path;

use tch::{Kind, Tensor};

use super::{
    attention::{Attention, Names, Shape},
    layer::{LayerNorm, Linear},
};
use crate::{
    error::Result,
    model::format::{options::Options, weights::Part},
};

/// The nonlinearity between the layers of a feed-forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activation {
    /// `x sigmoid(1.702 x)`.
    QuickGelu,
    /// `x Phi(x)`.
    Gelu,
}

/// The options of a text encoder.
#[derive(Clone, Debug)]
pub struct ClipConfig {
    /// Layers.
    pub layers: u32,
    /// Width of the features.
    pub width: i64,
    /// Tokens it can read.
    pub longest: i64,
    /// Token ids are below this.
    pub vocabulary: i64,
    inner: i64,
    heads: i64,
    eps: f64,
    activation: Activation,
}

impl ClipConfig {
    /// Reads a `CLIPTextModel` configuration. Options of the Python class that this network does not read are ignored:
    /// every transformers configuration carries dozens.
    ///
    /// # Errors
    /// A broken file, or an activation that is not implemented.
    pub fn read(path: &Path) -> Result<Self> {
        let mut options = Options::read(path)?;
        let activation = match options.take("hidden_act", "quick_gelu".to_owned())?.as_str() {
            "quick_gelu" => Activation::QuickGelu,
            "gelu" => Activation::Gelu,
            other => return Err(options.wrong(format!("`hidden_act`: {other} is not implemented"))),
        };
        let config = Self {
            layers: options.take("num_hidden_layers", 12)?,
            width: options.take("hidden_size", 512)?,
            longest: options.take("max_position_embeddings", 77)?,
            vocabulary: options.take("vocab_size", 49408)?,
            inner: options.take("intermediate_size", 2048)?,
            heads: options.take("num_attention_heads", 8)?,
            eps: options.take("layer_norm_eps", 1e-5)?,
            activation,
        };
        if config.heads <= 0 || config.width % config.heads != 0 || config.layers == 0 {
            return Err(options.wrong("`num_attention_heads` must divide `hidden_size`, and there must be a layer"));
        }
        Ok(config)
    }
}

/// A causal transformer over tokens.
#[derive(Debug)]
pub struct Clip {
    tokens: Tensor,
    positions: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
}

impl Clip {
    /// Builds the network that the configuration describes; names may start with `text_model.`.
    ///
    /// # Errors
    /// A missing, extra or misshapen tensor.
    pub fn new(part: &Part, config: &ClipConfig) -> Result<Self> {
        let inner = if part.has("text_model.") { part.at("text_model") } else { part.clone() };
        let table = |name: &str, rows: i64| inner.at("embeddings").at(name).tensor("weight", &[rows, config.width]);
        let layer = |i| Layer::new(&inner.at("encoder.layers").at(i), config);
        let clip = Self {
            tokens: table("token_embedding", config.vocabulary)?,
            positions: table("position_embedding", config.longest)?,
            layers: (0..config.layers).map(layer).collect::<Result<_>>()?,
            norm: LayerNorm::new(&inner.at("final_layer_norm"), config.width, config.eps)?,
        };
        part.complete()?;
        Ok(clip)
    }

    /// Token ids `[n, l]` to features `[n, l, width]`, without the last `skip` layers; at least one layer runs.
    pub fn forward(&self, ids: &Tensor, skip: usize) -> Tensor {
        let ids = ids.to_kind(Kind::Int64);
        let positions = self.positions.narrow(0, 0, ids.size()[1]);
        let embedded = Tensor::embedding(&self.tokens, &ids, -1, false, false) + positions;
        let run = self.layers.len().saturating_sub(skip).max(1);
        self.norm.forward(&self.layers[..run].iter().fold(embedded, |x, layer| layer.forward(x)))
    }
}

#[derive(Debug)]
struct Layer {
    norms: [LayerNorm; 2],
    attention: Attention,
    first: Linear,
    second: Linear,
    activation: Activation,
}

impl Layer {
    fn new(part: &Part, config: &ClipConfig) -> Result<Self> {
        let ClipConfig { width, heads, inner, eps, activation, .. } = *config;
        let shape = Shape { width, heads, context: None, bias: true, upcast: false, causal: true };
        let norm = |name| LayerNorm::new(&part.at(name), width, eps);
        Ok(Self {
            norms: [norm("layer_norm1")?, norm("layer_norm2")?],
            attention: Attention::new(&part.at("self_attn"), Names::CLIP, shape)?,
            first: Linear::new(&part.at("mlp.fc1"), width, inner)?,
            second: Linear::new(&part.at("mlp.fc2"), inner, width)?,
            activation,
        })
    }

    fn forward(&self, x: Tensor) -> Tensor {
        let normed = self.norms[0].forward(&x);
        let x = self.attention.forward(&normed, &normed, None) + x;
        let inner = self.first.forward(&self.norms[1].forward(&x));
        let inner = match self.activation {
            Activation::QuickGelu => &inner * (&inner * 1.702).sigmoid(),
            Activation::Gelu => inner.gelu("none"),
        };
        self.second.forward(&inner) + x
    }
}
