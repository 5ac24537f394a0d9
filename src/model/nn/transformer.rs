//! The transformer between residual blocks: pixels attend to each other and to the text.

use tch::Tensor;

use super::{
    attention::{Attention, Names, Shape},
    layer::{Conv, GroupNorm, LayerNorm, Linear, Norm},
    taps::Spot,
};
use crate::{error::Result, model::format::weights::Part};

/// What a transformer is built from.
#[derive(Clone, Copy, Debug)]
pub struct TransformerShape {
    /// Blocks.
    pub layers: i64,
    /// Heads of each attention.
    pub heads: i64,
    /// Channels of the text.
    pub context: i64,
    /// Groups of the norm before it.
    pub groups: i64,
    /// Whether the maps into and out of it are linear layers rather than convolutions.
    pub linear: bool,
    /// Whether both attentions look at the text.
    pub only_cross: bool,
    /// Whether attention is computed in f32.
    pub upcast: bool,
}

#[derive(Debug)]
enum Map {
    Linear(Linear),
    Conv(Conv),
}

impl Map {
    fn new(part: &Part, channels: i64, linear: bool) -> Result<Self> {
        Ok(if linear {
            Self::Linear(Linear::new(part, channels, channels)?)
        } else {
            Self::Conv(Conv::new(part, channels, channels, 1)?)
        })
    }
}

/// Blocks of self-attention, attention to the text, and a gated feed-forward (Rombach et al. 2022, appendix E.2.1).
#[derive(Debug)]
pub struct Transformer {
    norm: GroupNorm,
    enter: Map,
    blocks: Vec<Block>,
    leave: Map,
}

impl Transformer {
    /// For `channels` channels.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn new(part: &Part, channels: i64, shape: TransformerShape) -> Result<Self> {
        let block = |i| Block::new(&part.at("transformer_blocks").at(i), channels, shape);
        Ok(Self {
            norm: GroupNorm::new(&part.at("norm"), channels, Norm { groups: shape.groups, eps: 1e-6 })?,
            enter: Map::new(&part.at("proj_in"), channels, shape.linear)?,
            blocks: (0..shape.layers).map(block).collect::<Result<_>>()?,
            leave: Map::new(&part.at("proj_out"), channels, shape.linear)?,
        })
    }

    /// Pixels `[n, c, h, w]`, text `[n, l, context]`, to `[n, c, h, w]`.
    pub fn forward(&self, x: &Tensor, text: &Tensor, spot: Spot) -> Tensor {
        let size = x.size();
        let rows = |x: &Tensor| x.permute([0, 2, 3, 1]).reshape([size[0], size[2] * size[3], size[1]]);
        let pixels = |x: &Tensor| x.reshape([size[0], size[2], size[3], size[1]]).permute([0, 3, 1, 2]);
        let normed = self.norm.forward(x);
        let entered = match &self.enter {
            Map::Linear(map) => map.forward(&rows(&normed)),
            Map::Conv(map) => rows(&map.forward(&normed)),
        };
        let blocks = self.blocks.iter().enumerate();
        let inner = blocks.fold(entered, |x, (depth, block)| block.forward(x, text, spot.depth(depth)));
        let left = match &self.leave {
            Map::Linear(map) => pixels(&map.forward(&inner)),
            Map::Conv(map) => map.forward(&pixels(&inner)),
        };
        left + x
    }
}

#[derive(Debug)]
struct Block {
    norms: [LayerNorm; 3],
    own: Attention,
    cross: Attention,
    value: Linear,
    gate: Linear,
    out: Linear,
    only_cross: bool,
}

impl Block {
    fn new(part: &Part, width: i64, shape: TransformerShape) -> Result<Self> {
        let TransformerShape { heads, upcast, only_cross, .. } = shape;
        let norm = |name| LayerNorm::new(&part.at(name), width, 1e-5);
        let context = Some(shape.context);
        let [value, gate] = [0, 1].map(|half| {
            Linear::rows(&part.at("ff.net.0.proj"), width, 8 * width, half * 4 * width..(half + 1) * 4 * width)
        });
        let own = Shape { width, heads, context: context.filter(|_| only_cross), bias: false, upcast, causal: false };
        Ok(Self {
            norms: [norm("norm1")?, norm("norm2")?, norm("norm3")?],
            own: Attention::new(&part.at("attn1"), Names::DIFFUSERS, own)?,
            cross: Attention::new(&part.at("attn2"), Names::DIFFUSERS, Shape { context, ..own })?,
            value: value?,
            gate: gate?,
            out: Linear::new(&part.at("ff.net.2"), 4 * width, width)?,
            only_cross,
        })
    }

    fn forward(&self, x: Tensor, text: &Tensor, spot: Spot) -> Tensor {
        let normed = self.norms[0].forward(&x);
        let context = if self.only_cross { text } else { &normed };
        let x = self.own.forward(&normed, context, Some(spot.cross(self.only_cross))) + x;
        let x = self.cross.forward(&self.norms[1].forward(&x), text, Some(spot.cross(true))) + x;
        self.feed(&self.norms[2].forward(&x)) + x
    }

    /// `(x V * gelu(x U)) W` (Shazeer 2020, eq. 6); two products, since the halves of one would not lie together.
    fn feed(&self, x: &Tensor) -> Tensor {
        let (value, gate) = (self.value.forward(x), self.gate.forward(x));
        let gated = tracing::trace_span!("activation").in_scope(|| value * gate.gelu("none"));
        self.out.forward(&gated)
    }
}
