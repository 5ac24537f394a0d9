//! Stable Diffusion 1.x and 2.x, and its inpainting models, in the diffusers folder layout (Rombach et al. 2022).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use tch::{Device, Kind, Tensor};

use super::{
    Batch, Card, Family, Model, Text, Weights,
    format::{folder, scheduler::Scheduler, tokenizer::Tokenizer},
    nn::{
        clip::{Clip, ClipConfig},
        taps::Taps,
        unet::Unet,
        unet_config::UnetConfig,
        vae::{Vae, VaeConfig},
    },
};
use crate::{
    ask::{Answer, Stage},
    error::{Failure, Result},
};

/// The family's line in [`super::FAMILIES`].
pub const FAMILY: Family = Family { name: "sd", knows, card, weights, build };

/// Names of a component's weight files.
const STEMS: [(&str, &str); 3] =
    [("text_encoder", "model"), ("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model")];

/// The three configurations that networks are built from.
struct Configs {
    text: ClipConfig,
    unet: UnetConfig,
    vae: VaeConfig,
}

impl Configs {
    fn read(dir: &Path) -> Result<Self> {
        let file = |component: &str| dir.join(component).join("config.json");
        Ok(Self {
            text: ClipConfig::read(&file("text_encoder"))?,
            unet: UnetConfig::read(&file("unet"))?,
            vae: VaeConfig::read(&file("vae"))?,
        })
    }

    /// The autoencoder's number type: f32 where the file says that half floats are too narrow.
    fn vae_kind(&self, kind: Kind) -> Kind {
        if kind == Kind::Half && self.vae.force_upcast { Kind::Float } else { kind }
    }

    /// Whether the UNet is told a mask and a masked picture beside its latents.
    fn inpaints(&self) -> bool {
        self.unet.channels.0 == 2 * self.vae.latent_channels + 1
    }

    /// Whether the UNet says a variance beside its prediction.
    fn learns_variance(&self) -> bool {
        self.unet.channels.1 == 2 * self.vae.latent_channels
    }

    /// Whether the parts fit each other.
    fn check(&self, dir: &Path) -> Result<()> {
        let z = self.vae.latent_channels;
        let wrong = |why: String| Err(Failure::Internal(format!("{}: {why}", dir.display())));
        let (from, to) = self.unet.channels;
        if from != z && !self.inpaints() {
            return wrong(format!(
                "unet `in_channels` {from} must be the vae's `latent_channels` {z}, or {} with a mask and a masked picture",
                2 * z + 1
            ));
        }
        if to != z && !self.learns_variance() {
            return wrong(format!(
                "unet `out_channels` {to} must be the vae's `latent_channels` {z}, or {} with a learned variance",
                2 * z
            ));
        }
        if self.unet.contexts.iter().any(|context| *context != self.text.width) {
            return wrong("unet `cross_attention_dim` must be the text encoder's `hidden_size`".into());
        }
        Ok(())
    }
}

fn knows(dir: &Path) -> bool {
    let classes = [
        ("unet", ["UNet2DConditionModel"; 2]),
        ("vae", ["AutoencoderKL"; 2]),
        ("text_encoder", ["CLIPTextModel"; 2]),
        ("tokenizer", ["CLIPTokenizer", "CLIPTokenizerFast"]),
    ];
    folder::components(dir).is_ok_and(|components| {
        let is =
            |name: &str, known: [&str; 2]| components.get(name).is_some_and(|class| known.contains(&class.as_str()));
        classes.into_iter().all(|(name, known)| is(name, known)) && !components.contains_key("text_encoder_2")
    })
}

fn weight_files(dir: &Path) -> Result<BTreeMap<&'static str, Vec<PathBuf>>> {
    STEMS.iter().map(|(part, stem)| Ok((*part, folder::weight_files(&dir.join(part), stem)?))).collect()
}

/// Every file that what the networks compute depends on.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let configs = STEMS.iter().map(|(part, _)| dir.join(part).join("config.json"));
    let tokenizer = ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"];
    let tokenizer = tokenizer.iter().map(|name| dir.join("tokenizer").join(name)).filter(|path| path.is_file());
    let scheduler = dir.join("scheduler/scheduler_config.json");
    let weights = weight_files(dir)?.into_values().flatten();
    Ok(configs.chain(tokenizer).chain([scheduler, dir.join("model_index.json")]).chain(weights).collect())
}

/// The files that say what a latent means.
fn autoencoder(dir: &Path) -> Result<Vec<PathBuf>> {
    let weights = weight_files(dir)?.remove("vae").unwrap_or_default();
    Ok(weights.into_iter().chain([dir.join("vae/config.json")]).collect())
}

fn card(dir: &Path) -> Result<Card> {
    let configs = Configs::read(dir)?;
    configs.check(dir)?;
    let scheduler = Scheduler::read(&dir.join("scheduler/scheduler_config.json"))?;
    if configs.learns_variance() && !scheduler.learned_range {
        let path = dir.join("scheduler/scheduler_config.json");
        let why = "`variance_type` must be learned_range: the unet has twice the channels of the latents";
        return Err(Failure::Internal(format!("{}: {why}", path.display())));
    }
    let factor = configs.vae.factor();
    let side = configs.unet.sample_size.unwrap_or(configs.vae.sample_size / i64::from(factor));
    let id = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut defaults = folder::defaults(dir, scheduler.defaults)?;
    if defaults.title.is_empty() {
        defaults.title.clone_from(&id);
    }
    Ok(Card {
        family: FAMILY.name,
        dir: dir.to_owned(),
        latent: [configs.vae.latent_channels, side, side],
        factor,
        multiple: factor << (configs.unet.widths.len() - 1),
        prediction: scheduler.prediction,
        inpaints: configs.inpaints(),
        learns_variance: configs.learns_variance(),
        degraded: None,
        process: scheduler.process,
        steps_offset: scheduler.steps_offset,
        text: Some(text(dir, &configs.text)?),
        blocks: configs.unet.blocks(),
        labels: None,
        preview: defaults.preview.clone(),
        defaults,
        sha256: folder::fingerprint(dir, files(dir)?)?,
        group: folder::fingerprint(dir, autoencoder(dir)?)?,
        id: id.into(),
    })
}

/// The text side.
fn text(dir: &Path, config: &ClipConfig) -> Result<Text> {
    let tokenizer = tokenizer(dir, config)?;
    let tokens = i64::try_from(tokenizer.encode("").ids.len()).unwrap_or(0);
    Ok(Text { tokenizer, layers: config.layers, chunks: 1, shape: [tokens, config.width] })
}

/// The tokenizer, whose every token the text encoder must know.
fn tokenizer(dir: &Path, text: &ClipConfig) -> Result<Tokenizer> {
    let dir = dir.join("tokenizer");
    let tokenizer = Tokenizer::read(&dir, usize::try_from(text.longest).unwrap_or(0))?;
    let (largest, known) = (tokenizer.largest(), text.vocabulary);
    if largest >= known {
        let why = format!("token id {largest} is beyond the text encoder's `vocab_size` {known}");
        return Err(Failure::Internal(format!("{}: {why}", dir.display())));
    }
    Ok(tokenizer)
}

/// Reads the weights and lays them out as the networks want them, which also finds what does not fit.
fn weights(card: &Card, device: Device, kind: Kind) -> Result<Weights> {
    let configs = Configs::read(&card.dir)?;
    let weights = Weights::on(device);
    for (part, files) in weight_files(&card.dir)? {
        weights.read(part, &files, if part == "vae" { configs.vae_kind(kind) } else { kind })?;
    }
    drop(Networks::new(&configs, &weights)?);
    Ok(weights)
}

fn build(card: &Arc<Card>, weights: &Weights) -> Result<Box<dyn Model>> {
    let configs = Configs::read(&card.dir)?;
    let networks = Networks::new(&configs, weights)?;
    let kinds = Kinds { unet: weights.kind("unet"), vae: weights.kind("vae") };
    let scaling = configs.vae.scaling_factor;
    Ok(Box::new(StableDiffusion { card: card.clone(), networks, kinds, device: weights.device(), scaling }))
}

struct Networks {
    text: Clip,
    unet: Unet,
    vae: Vae,
}

impl Networks {
    fn new(configs: &Configs, weights: &Weights) -> Result<Self> {
        Ok(Self {
            text: Clip::new(&weights.part("text_encoder"), &configs.text)?,
            unet: Unet::new(&weights.part("unet"), &configs.unet)?,
            vae: Vae::new(&weights.part("vae"), &configs.vae)?,
        })
    }
}

/// Number types of the networks; the text encoder has the UNet's.
struct Kinds {
    unet: Kind,
    vae: Kind,
}

/// What goes along with the rows under that name.
fn told<'a>(batch: &'a Batch, name: &str) -> Result<&'a Tensor> {
    batch.cond.get(name).ok_or_else(|| Failure::Internal(format!("the network needs `{name}`")))
}

/// A loaded model with its stages.
pub struct StableDiffusion {
    card: Arc<Card>,
    networks: Networks,
    kinds: Kinds,
    device: Device,
    scaling: f64,
}

impl StableDiffusion {
    fn embed(&self, batch: &Batch) -> Result<Tensor> {
        let layers = self.card.text.as_ref().map_or(0, |text| text.layers);
        if batch.skip >= layers {
            return Err(Failure::Internal(format!("{} of {layers} text layers cannot be left out", batch.skip)));
        }
        Ok(self.networks.text.forward(&batch.x, batch.skip as usize))
    }

    fn predict(&self, batch: &Batch) -> Result<Tensor> {
        let text = told(batch, "context")?;
        let x = if self.card.inpaints {
            Tensor::cat(&[&batch.x, told(batch, "concat")?], 1)
        } else {
            batch.x.shallow_clone()
        };
        let t = Tensor::from_slice(&batch.t).to_kind(Kind::Float).to_device(self.device);
        let kind = self.kinds.unet;
        Ok(self.networks.unet.forward(&x.to_kind(kind), &t, &text.to_kind(kind), Taps(&batch.taps)))
    }

    fn stage(&self, stage: Stage, batch: &Batch) -> Result<Tensor> {
        Ok(match stage {
            Stage::Embed => self.embed(batch)?,
            Stage::Predict => self.predict(batch)?,
            Stage::Decode => self.networks.vae.decode(&(&batch.x / self.scaling).to_kind(self.kinds.vae)),
            Stage::Encode => {
                self.networks.vae.encode(&batch.x.to_kind(self.kinds.vae)).to_kind(Kind::Float) * self.scaling
            }
        })
    }
}

impl Model for StableDiffusion {
    fn card(&self) -> &Arc<Card> {
        &self.card
    }

    fn forward(&self, stage: Stage, batch: &Batch) -> Result<Answer> {
        Ok(Answer::of(self.stage(stage, batch)?.to_kind(Kind::Float).contiguous()))
    }
}
