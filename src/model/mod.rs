//! Models: what a network computes, behind one trait, and the families that know how to load one.

use std::{
    fmt::Debug,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use utoipa::ToSchema;

use crate::{
    ask::{Answer, Stage},
    denoiser::Prediction,
    error::{Failure, Result},
    process::Process,
};

pub mod batch;
pub mod format;
pub mod gaussian;
pub mod gradient;
pub mod nn;
pub mod sd;

pub use batch::{Batch, Losses, Tapped};
pub use format::{
    tokenizer::{Tokenizer, Tokens},
    weights::Weights,
};

/// A loaded model. It lives on one engine thread and casts to its own precision inside [`Model::forward`], nowhere else.
pub trait Model {
    /// What is known about the model without running it.
    fn card(&self) -> &Arc<Card>;

    /// One forward. Latents, pixels and answers are f32 (f64 where the model computes in f64). The batch's taps are called
    /// where the network has attentions and blocks, which is in `Predict` of the `sd` family.
    ///
    /// # Errors
    /// A stage that the model does not have; torch errors arrive as panics, which the engine catches.
    fn forward(&self, stage: Stage, batch: &Batch) -> Result<Answer>;

    /// One forward with the gradient of losses of its result, by way of [`Model::forward`], which is made of operators that
    /// torch can differentiate. Neither output nor gradient, f32 (f64 where it is taken in f64), holds on to the graph.
    ///
    /// # Errors
    /// Those of the forward; nothing there that a gradient can be taken in. What a loss panics with, it panics with.
    fn gradient(&self, stage: Stage, batch: &Batch, losses: &Losses) -> Result<Answer> {
        gradient::through(batch, losses, |batch| self.forward(stage, batch))
    }
}

/// Everything that a request's validation, the API and a run need to know about a model. Shared by all threads.
#[derive(Debug)]
pub struct Card {
    /// The id in `/v1/models`: the folder's name.
    pub id: Arc<str>,
    /// The name of its family in [`FAMILIES`].
    pub family: &'static str,
    /// The folder it was read from; empty for a built-in model.
    pub dir: PathBuf,
    /// Native latent shape, `[C, h, w]`.
    pub latent: [i64; 3],
    /// Pixels per latent cell along each side.
    pub factor: u32,
    /// What a requested width or height must be a multiple of, in pixels.
    pub multiple: u32,
    /// What the network predicts.
    pub prediction: Prediction,
    /// The process it was trained on.
    pub process: Arc<dyn Process>,
    /// Whether the network is told a mask and a masked picture, as `concat` `[n, 1 + C, h, w]`: the mask, 1 where a pixel may
    /// change, then the picture's latents (Rombach et al. 2022, section 4.5).
    pub inpaints: bool,
    /// Whether the network says a variance too, in as many channels again (Nichol and Dhariwal 2021, arXiv 2102.09672).
    pub learns_variance: bool,
    /// The degraded picture of a shape `[C, h, w]`, row by row, that a restoring model's generations start from.
    pub degraded: Option<fn([i64; 3]) -> Vec<f32>>,
    /// The `offset` of `leading` spacings in its scheduler configuration.
    pub steps_offset: u32,
    /// How prompts become token ids, for models that read text.
    pub text: Option<Text>,
    /// The blocks that a tap sees, in the order of the network.
    pub blocks: Vec<Block>,
    /// Number of classes, for models that take a label.
    pub labels: Option<u32>,
    /// Linear map from latents to RGB in 0..1 for previews: one row of red, green, blue for each channel, then the bias.
    pub preview: Option<Vec<[f32; 3]>>,
    /// What a request gets when it does not say.
    pub defaults: Defaults,
    /// SHA-256 over the configuration and weight files, in hexadecimal.
    pub sha256: String,
    /// Models of one group share one latent space, so that one may go on where another stopped.
    pub group: String,
}

/// A block of a network that can be looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// As its weights are called: `down_blocks.0`, and its layers `down_blocks.0.1`.
    pub name: String,
    /// Channels of what it gives.
    pub channels: i64,
    /// How often the latents are halved there.
    pub halved: u32,
}

impl Block {
    /// Numbers of what it gives for latents of `[h, w]`.
    pub fn numbers(&self, sides: [i64; 2]) -> u64 {
        let cells: i64 = sides.iter().map(|side| side >> self.halved).product();
        (self.channels * cells).unsigned_abs()
    }
}

/// The text side of a model.
#[derive(Debug)]
pub struct Text {
    /// Prompt to token ids.
    pub tokenizer: Tokenizer,
    /// Layers of the text encoder; `clip_skip` must leave one.
    pub layers: u32,
    /// Chunks of a `weighted` prompt that are read at most, each of the encoder's length: what the configuration says.
    pub chunks: usize,
    /// Of a text's features, `[L, D]`.
    pub shape: [i64; 2],
}

/// What a model's `darkroom.json` says about it, with the gaps filled from its `scheduler_config.json` or our own defaults.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Defaults {
    /// A name for people.
    pub title: String,
    /// SPDX expression or a sentence.
    pub licence: String,
    /// Steps of a generation.
    pub steps: u32,
    /// Classifier-free guidance scale.
    pub guidance: f64,
    /// Name from `/v1/samplers`.
    pub sampler: String,
    /// Name from `/v1/schedules`.
    pub schedule: String,
    /// Linear map from latents to RGB for previews, see [`Card::preview`].
    #[schema(value_type = Option<Vec<Vec<f32>>>)]
    pub preview: Option<Vec<[f32; 3]>>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            title: String::new(),
            licence: "unknown".into(),
            steps: 25,
            guidance: 7.5,
            sampler: "dpmpp_2m".into(),
            schedule: "trailing".into(),
            preview: None,
        }
    }
}

impl Card {
    /// Native width and height in pixels.
    pub fn native(&self) -> (u32, u32) {
        let side = |cells: i64| u32::try_from(cells).expect("latent sizes are small") * self.factor;
        (side(self.latent[2]), side(self.latent[1]))
    }

    /// Latent shape `[C, h, w]` of a picture of `width` by `height` pixels.
    pub fn latent_for(&self, width: u32, height: u32) -> [i64; 3] {
        [self.latent[0], i64::from(height / self.factor), i64::from(width / self.factor)]
    }

    /// The degraded picture `[1, C, h, w]` that a generation of that shape starts from, for restoring models.
    pub fn mu(&self, shape: [i64; 3], device: Device) -> Option<Tensor> {
        let [c, h, w] = shape;
        self.degraded.map(|of| Tensor::from_slice(&of(shape)).view([1, c, h, w]).to_device(device))
    }

    /// What an inpainting network is told where everything may change, `[1, 1 + C, h, w]`: a mask of ones, and a picture whose
    /// latents are 0. `None` for other models.
    pub fn unmasked(&self, [c, h, w]: [i64; 3], device: Device) -> Option<Tensor> {
        let kind = (Kind::Float, device);
        let whole = || Tensor::cat(&[Tensor::ones([1, 1, h, w], kind), Tensor::zeros([1, c, h, w], kind)], 1);
        self.inpaints.then(whole)
    }
}

/// Card and weights to a model.
pub type Build = fn(&Arc<Card>, &Weights) -> Result<Box<dyn Model>>;

/// A kind of model that can be loaded: one line in [`FAMILIES`].
pub struct Family {
    /// The family's name in the API.
    pub name: &'static str,
    /// Whether the folder holds a model of this family.
    pub knows: fn(&Path) -> bool,
    /// Reads configurations and the tokenizer, not the weights.
    pub card: fn(&Path) -> Result<Card>,
    /// Reads the weights onto a device, tensor by tensor.
    pub weights: fn(&Card, Device, Kind) -> Result<Weights>,
    /// Builds the networks around weights that stay shared.
    pub build: Build,
}

/// Every family that can be read from a folder.
pub const FAMILIES: &[Family] = &[sd::FAMILY];

/// The family of the model in `dir`.
///
/// # Errors
/// No family knows the folder.
pub fn family(dir: &Path) -> Result<&'static Family> {
    FAMILIES.iter().find(|family| (family.knows)(dir)).ok_or_else(|| {
        Failure::Internal(format!("{}: no model of a known family (expected a diffusers folder)", dir.display()))
    })
}
