//! The blocks of a UNet: one for each resolution on the way down and on the way up, and one in the middle.

use tch::Tensor;

use super::{
    embedding::Listeners,
    layer::Norm,
    resnet::{Downsample, Resnet, Upsample},
    taps::{Spot, Taps},
    transformer::{Transformer, TransformerShape},
};
use crate::{error::Result, model::format::weights::Part};

/// What a block is built from.
#[derive(Clone, Copy, Debug)]
pub struct BlockShape {
    /// Channels that leave it.
    pub width: i64,
    /// Residual blocks.
    pub layers: i64,
    /// Its transformers, where it has them.
    pub cross: Option<TransformerShape>,
    /// Its norms.
    pub norm: Norm,
    /// Padding of its halving.
    pub padding: i64,
    /// Whether the resolution changes behind it.
    pub last: bool,
}

/// What every block is told beside its pixels.
pub struct Told<'a> {
    /// What each residual block adds, see [`super::embedding::TimeProjections`].
    pub times: &'a [Tensor],
    /// Text features `[n, l, context]`.
    pub text: &'a Tensor,
    /// Who looks in.
    pub taps: Taps<'a>,
}

/// Residual blocks, each with a transformer behind it where the block has them.
#[derive(Debug)]
struct Layer {
    resnet: Resnet,
    transformer: Option<Transformer>,
}

impl Layer {
    fn new(part: &Part, i: i64, from: i64, shape: &BlockShape, listeners: &mut Listeners) -> Result<Self> {
        let resnet = Resnet::new(&part.at("resnets").at(i), from, shape.width, shape.norm, Some(listeners))?;
        let cross = shape.cross.map(|cross| Transformer::new(&part.at("attentions").at(i), shape.width, cross));
        Ok(Self { resnet, transformer: cross.transpose()? })
    }

    fn forward(&self, x: &Tensor, told: &Told, spot: Spot) -> Tensor {
        let x = self.resnet.forward(x, told.times);
        let x = match &self.transformer {
            Some(transformer) => transformer.forward(&x, told.text, spot),
            None => x,
        };
        spot.show(&x);
        x
    }
}

/// `DownBlock2D` and `CrossAttnDownBlock2D`.
#[derive(Debug)]
pub struct Down {
    name: String,
    layers: Vec<Layer>,
    halve: Option<Downsample>,
}

impl Down {
    /// From `from` channels.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn new(part: &Part, from: i64, shape: &BlockShape, listeners: &mut Listeners) -> Result<Self> {
        let enters = |i| if i == 0 { from } else { shape.width };
        let layers = (0..shape.layers).map(|i| Layer::new(part, i, enters(i), shape, listeners));
        let layers = layers.collect::<Result<_>>()?;
        let halve = || Downsample::new(&part.at("downsamplers.0"), shape.width, shape.padding);
        Ok(Self { name: part.path(), layers, halve: (!shape.last).then(halve).transpose()? })
    }

    /// Pushes what each layer and the halving give onto `skips`; the last of them goes on.
    pub fn forward(&self, skips: &mut Vec<Tensor>, told: &Told) {
        let newest =
            |skips: &[Tensor]| skips.last().map(Tensor::shallow_clone).expect("the first convolution is there");
        for (i, layer) in self.layers.iter().enumerate() {
            let x = layer.forward(&newest(skips), told, told.taps.at(&self.name, i));
            skips.push(x);
        }
        if let Some(halve) = &self.halve {
            let x = halve.forward(&newest(skips));
            skips.push(x);
        }
        told.taps.show(&self.name, &newest(skips));
    }
}

/// `UNetMidBlock2DCrossAttn`.
#[derive(Debug)]
pub struct Middle {
    name: String,
    first: Resnet,
    transformer: Transformer,
    second: Resnet,
}

impl Middle {
    /// For `width` channels.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn new(
        part: &Part,
        width: i64,
        norm: Norm,
        cross: TransformerShape,
        listeners: &mut Listeners,
    ) -> Result<Self> {
        Ok(Self {
            name: part.path(),
            first: Resnet::new(&part.at("resnets.0"), width, width, norm, Some(listeners))?,
            transformer: Transformer::new(&part.at("attentions.0"), width, cross)?,
            second: Resnet::new(&part.at("resnets.1"), width, width, norm, Some(listeners))?,
        })
    }

    /// `[n, width, h, w]` to the same shape.
    pub fn forward(&self, x: &Tensor, told: &Told) -> Tensor {
        let spot = told.taps.at(&self.name, 0);
        let x = self.transformer.forward(&self.first.forward(x, told.times), told.text, spot);
        let x = self.second.forward(&x, told.times);
        told.taps.show(&self.name, &x);
        x
    }
}

/// `UpBlock2D` and `CrossAttnUpBlock2D`.
#[derive(Debug)]
pub struct Up {
    name: String,
    layers: Vec<Layer>,
    double: Option<Upsample>,
}

impl Up {
    /// From `from` channels; `skips` are those of the layers on the way down, in the order in which they are taken.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn new(part: &Part, from: i64, skips: &[i64], shape: &BlockShape, listeners: &mut Listeners) -> Result<Self> {
        let enters = |i| if i == 0 { from } else { shape.width };
        let layers = (0..shape.layers).zip(skips);
        let layers = layers.map(|(i, skip)| Layer::new(part, i, enters(i) + skip, shape, listeners));
        let layers = layers.collect::<Result<_>>()?;
        let double = || Upsample::new(&part.at("upsamplers.0"), shape.width);
        Ok(Self { name: part.path(), layers, double: (!shape.last).then(double).transpose()? })
    }

    /// Takes one of `skips` for each layer.
    pub fn forward(&self, mut x: Tensor, skips: &mut Vec<Tensor>, told: &Told) -> Tensor {
        for (i, layer) in self.layers.iter().enumerate() {
            let skip = skips.pop().expect("one skip for each layer");
            x = layer.forward(&Tensor::cat(&[x, skip], 1), told, told.taps.at(&self.name, i));
        }
        if let Some(double) = &self.double {
            x = double.forward(&x);
        }
        told.taps.show(&self.name, &x);
        x
    }
}
