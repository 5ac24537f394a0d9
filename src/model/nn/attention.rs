//! Attention (Vaswani et al. 2017, eq. 1).

use tch::{Kind, Tensor};

use super::{layer::Linear, taps::Spot};
use crate::{error::Result, model::format::weights::Part};

/// How the projections of an attention are called in a file.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Query, key, value.
    pub qkv: [&'static str; 3],
    /// Output.
    pub out: &'static str,
}

impl Names {
    /// As diffusers writes them.
    pub const DIFFUSERS: Self = Self { qkv: ["to_q", "to_k", "to_v"], out: "to_out.0" };
    /// As diffusers wrote those of autoencoders until 2023.
    pub const OLD_VAE: Self = Self { qkv: ["query", "key", "value"], out: "proj_attn" };
    /// As transformers writes them.
    pub const CLIP: Self = Self { qkv: ["q_proj", "k_proj", "v_proj"], out: "out_proj" };
}

/// What distinguishes one attention from another.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Channels in and out.
    pub width: i64,
    /// Heads.
    pub heads: i64,
    /// Channels of what is attended to, where that is something else than the input.
    pub context: Option<i64>,
    /// Whether the three projections have a bias.
    pub bias: bool,
    /// Whether the attention itself is computed in f32.
    pub upcast: bool,
    /// Whether a row sees only itself and those before it.
    pub causal: bool,
}

#[derive(Debug)]
enum Project {
    /// Query, key and value of the input in one product.
    Own(Linear),
    /// The query of the input; key and value of the context in one product.
    Context(Linear, Linear),
}

/// Multi-head attention of rows to themselves or to a context.
#[derive(Debug)]
pub struct Attention {
    project: Project,
    out: Linear,
    shape: Shape,
}

impl Attention {
    /// From three projections and an output map under these names.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn new(part: &Part, names: Names, shape: Shape) -> Result<Self> {
        let Shape { width, context, bias, .. } = shape;
        let named = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), width)).collect::<Vec<_>>();
        let project = match context {
            None => Project::Own(Linear::stacked(part, &named(&names.qkv), width, bias)?),
            Some(context) => Project::Context(
                Linear::stacked(part, &named(&names.qkv[..1]), width, bias)?,
                Linear::stacked(part, &named(&names.qkv[1..]), context, bias)?,
            ),
        };
        Ok(Self { project, out: Linear::new(&part.at(names.out), width, width)?, shape })
    }

    /// Rows `[n, l, width]`, context `[n, m, context]`, to `[n, l, width]`. Taps may look in where it has a spot.
    pub fn forward(&self, x: &Tensor, context: &Tensor, spot: Option<Spot>) -> Tensor {
        let (q, k, v) = match &self.project {
            Project::Own(qkv) => {
                let mut parts = self.heads(&qkv.forward(x), 3).into_iter();
                (parts.next(), parts.next(), parts.next())
            }
            Project::Context(q, kv) => {
                let mut parts = self.heads(&kv.forward(context), 2).into_iter();
                (self.heads(&q.forward(x), 1).pop(), parts.next(), parts.next())
            }
        };
        let mixed = self.attend([q, k, v].map(|part| part.expect("one tensor for each projection")), spot);
        self.out.forward(&mixed.transpose(1, 2).reshape(x.size()))
    }

    /// `[n, l, count * width]` to `count` tensors `[n, heads, l, width / heads]`.
    fn heads(&self, x: &Tensor, count: i64) -> Vec<Tensor> {
        let Shape { width, heads, .. } = self.shape;
        x.reshape([x.size()[0], x.size()[1], count, heads, width / heads]).permute([2, 0, 3, 1, 4]).unbind(0)
    }

    fn attend(&self, qkv: [Tensor; 3], spot: Option<Spot>) -> Tensor {
        let _timed = tracing::trace_span!("attention").entered();
        let kind = qkv[0].kind();
        let widened = self.shape.upcast && matches!(kind, Kind::Half | Kind::BFloat16);
        let [q, k, v] = if widened { qkv.map(|part| part.to_kind(Kind::Float)) } else { qkv };
        let causal = self.shape.causal;
        let plain = Tensor::scaled_dot_product_attention(&q, &k, &v, None::<&Tensor>, 0.0, causal, None, false);
        let mixed = match spot {
            Some(spot) => spot.mixed([&q, &k, &v], plain),
            None => plain,
        };
        if widened { mixed.to_kind(kind) } else { mixed }
    }
}
