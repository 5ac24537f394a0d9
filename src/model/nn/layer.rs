//! The layers that everything is made of. Each is a span, by which `benches/forward.rs` tells where the time goes.

use std::ops::Range;

use tch::Tensor;
use tracing::trace_span;

use crate::{error::Result, model::format::weights::Part};

/// A linear map of the last dimension.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// From `{weight: [to, from], bias: [to]}`.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn new(part: &Part, from: i64, to: i64) -> Result<Self> {
        Ok(Self::of(part.tensor("weight", &[to, from])?, Some(part.tensor("bias", &[to])?)))
    }

    /// Those outputs only of `{weight: [to, from], bias: [to]}`; they share its memory.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn rows(part: &Part, from: i64, to: i64, outputs: Range<i64>) -> Result<Self> {
        let Self { weight, bias } = Self::new(part, from, to)?;
        let own = |tensor: Tensor| tensor.narrow(0, outputs.start, outputs.end - outputs.start);
        Ok(Self::of(own(weight), bias.map(own)))
    }

    /// Several maps of the same input as one, `names` below each other: `[sum of to, from]`.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn stacked(part: &Part, names: &[(String, i64)], from: i64, bias: bool) -> Result<Self> {
        let rows = |(name, to): &(String, i64)| (format!("{name}.weight"), vec![*to, from]);
        let ends = |(name, to): &(String, i64)| (format!("{name}.bias"), vec![*to]);
        let weight = part.stacked(&names.iter().map(rows).collect::<Vec<_>>())?;
        let bias = if bias { Some(part.stacked(&names.iter().map(ends).collect::<Vec<_>>())?) } else { None };
        Ok(Self::of(weight, bias))
    }

    /// From tensors: `weight: [to, from]`.
    pub fn of(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// `[.., from]` to `[.., to]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _timed = trace_span!("linear").entered();
        x.linear(&self.weight, self.bias.as_ref())
    }
}

/// The same numbers with the channels side by side in memory. A convolution with such a weight answers in the same
/// layout, so that pixels become rows of attention without a copy, and the weight need not be reordered at each call:
/// a third less time at 1 to 4 rows, the same at 16 (one core, f32).
fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// A two-dimensional convolution.
#[derive(Debug)]
pub struct Conv {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: i64,
}

impl Conv {
    /// From `{weight: [to, from, side, side], bias: [to]}`; padded so that the size stays.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn new(part: &Part, from: i64, to: i64, side: i64) -> Result<Self> {
        let weight = part.derived("channels last", &["weight"], || {
            Ok(channels_last(&part.tensor("weight", &[to, from, side, side])?))
        })?;
        Ok(Self { weight, bias: part.tensor("bias", &[to])?, stride: 1, padding: (side - 1) / 2 })
    }

    /// The same with another stride and padding.
    pub fn strided(self, stride: i64, padding: i64) -> Self {
        Self { stride, padding, ..self }
    }

    /// `[n, from, h, w]` to `[n, to, h', w']`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _timed = trace_span!("convolution").entered();
        let pair = |side: i64| [side, side];
        x.conv2d(&self.weight, Some(&self.bias), pair(self.stride), pair(self.padding), pair(1), 1)
    }
}

/// How group norms are configured.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// Groups of channels.
    pub groups: i64,
    /// Added to the variance.
    pub eps: f64,
}

/// Group normalisation (Wu and He 2018).
#[derive(Debug)]
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    norm: Norm,
}

impl GroupNorm {
    /// From `{weight: [channels], bias: [channels]}`.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn new(part: &Part, channels: i64, norm: Norm) -> Result<Self> {
        Ok(Self { weight: part.tensor("weight", &[channels])?, bias: part.tensor("bias", &[channels])?, norm })
    }

    /// `[n, channels, ..]` to the same shape. Channels that lie side by side are laid out anew first: copy and norm
    /// together take a quarter of the norm's time on that layout.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _timed = trace_span!("group norm").entered();
        x.contiguous().group_norm(self.norm.groups, Some(&self.weight), Some(&self.bias), self.norm.eps, true)
    }
}

/// Layer normalisation over the last dimension (Ba et al. 2016).
#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// From `{weight: [width], bias: [width]}`.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn new(part: &Part, width: i64, eps: f64) -> Result<Self> {
        Ok(Self { weight: part.tensor("weight", &[width])?, bias: part.tensor("bias", &[width])?, eps })
    }

    /// `[.., width]` to the same shape.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let _timed = trace_span!("layer norm").entered();
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, true)
    }
}

/// `x / (1 + exp(-x))` (Elfwing et al. 2018).
pub fn silu(x: &Tensor) -> Tensor {
    let _timed = trace_span!("activation").entered();
    x.silu()
}
