use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Features, Inversion, Kind};

/// How pictures are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Lossless, carries its own request.
    #[default]
    Png,
    /// Lossy.
    Jpeg,
    /// Lossy.
    Webp,
    /// The final latents instead of a picture.
    Safetensors,
}

impl Format {
    /// The media type of what is stored.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Safetensors => "application/vnd.safetensors",
        }
    }
}

/// The form of a job's results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Output {
    /// `png`, `jpeg`, `webp`, or `safetensors` for the final latents.
    pub format: Format,
    /// Of `jpeg` and `webp`.
    #[schema(minimum = 1, maximum = 100)]
    pub quality: u8,
}

impl Default for Output {
    fn default() -> Self {
        Self { format: Format::Png, quality: 90 }
    }
}

/// How a picture of another size is brought to the asked one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// The middle of it, as much as has the asked shape.
    #[default]
    Crop,
    /// All of it, in another shape.
    Stretch,
    /// All of it in its own shape, between white margins.
    Pad,
}

/// How prompts are read.
///
/// `plain`: every character stands for itself; what is longer than the text encoder reads is truncated.
///
/// `weighted`: as AUTOMATIC1111's web UI reads them. `(word)` weighs 1.1 times, `(word:1.3)` 1.3 times, `[word]` 1/1.1 times
/// what stands around it, from -10 to 10; `\(` is a bracket; `BREAK` starts a new chunk. A long prompt is read in chunks
/// of the text encoder's length, `limits.prompt_chunks` at most, cut behind a comma where one is near.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PromptSyntax {
    /// Every character stands for itself.
    #[default]
    Plain,
    /// Brackets weigh, and long prompts go in chunks.
    Weighted,
}

/// What an edit adds to a generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Edit {
    /// The blob that holds the picture, `{"blob": "sha256:..."}`; absent where an inversion holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub image: Option<Value>,
    /// The blob that holds the code to start from, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub inversion: Option<Value>,
    /// The blob that holds the mask, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub mask: Option<Value>,
    /// What the given picture shows.
    #[schema(required = false)]
    pub source_prompt: String,
    /// Class index of what it shows, for models that take one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_label: Option<u32>,
    /// `{"name": ..., options}`, every option filled in.
    #[schema(value_type = Object, required = false)]
    pub method: Value,
    /// Share of the steps that run, 0..1.
    #[schema(required = false)]
    pub strength: f64,
    /// How the picture was brought to the size.
    #[schema(required = false)]
    pub resize: Resize,
}

/// A generation in which nothing is left open, or an edit, which is one from a given picture on; posted again, it gives the
/// same pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Generation {
    /// Id from `/v1/models`.
    pub model: String,
    /// What an edit adds.
    #[serde(flatten)]
    pub edit: Option<Edit>,
    /// Class index, for models that take one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<u32>,
    /// What the picture shows.
    pub prompt: String,
    /// What it does not show.
    pub negative_prompt: String,
    /// Pictures to make.
    pub count: u32,
    /// Picture k is picture 0 of `seed + k`.
    pub seed: u64,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Text-encoder layers left out at the end.
    pub clip_skip: u32,
    /// How the prompts are read.
    pub prompt_syntax: PromptSyntax,
    /// Steps; absent where the schedule brings its own levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// `{"name": ..., options}`, every option filled in.
    #[schema(value_type = Object)]
    pub sampler: Value,
    /// `{"name": ..., options}`, every option filled in.
    #[schema(value_type = Object)]
    pub schedule: Value,
    /// `{"name": ..., options}`, every option filled in.
    #[schema(value_type = Object)]
    pub guidance: Value,
    /// The blob that holds the initial noise, `{"blob": "sha256:..."}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub latents: Option<Value>,
    /// The form of the results.
    pub output: Output,
    /// Evaluations between previews, 0 = none.
    pub preview_every: u32,
    /// Previews of each picture, spread evenly over its evaluations; absent for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    pub previews: u32,
    /// -10..10; ages with waiting.
    pub priority: i32,
    /// Handed back.
    pub metadata: BTreeMap<String, String>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What a job was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Request {
    /// Pictures.
    Pictures(Box<Generation>),
    /// A code.
    Inversion(Box<Inversion>),
    /// What the network sees.
    Features(Box<Features>),
}

impl From<Generation> for Request {
    fn from(generation: Generation) -> Self {
        Self::Pictures(Box::new(generation))
    }
}

impl From<Features> for Request {
    fn from(features: Features) -> Self {
        Self::Features(Box::new(features))
    }
}

impl From<Inversion> for Request {
    fn from(inversion: Inversion) -> Self {
        Self::Inversion(Box::new(inversion))
    }
}

impl Request {
    /// Reads what [`Request`] wrote, as the request of a job of that kind.
    ///
    /// # Errors
    /// Another kind's request, or none.
    pub fn read(kind: Kind, json: &str) -> serde_json::Result<Self> {
        match kind {
            Kind::Generation | Kind::Edit => {
                let read: Generation = serde_json::from_str(json)?;
                match (kind, &read.edit) {
                    (Kind::Edit, None) => Err(serde::de::Error::custom("an edit does not say what it edits")),
                    _ => Ok(read.into()),
                }
            }
            Kind::Features => Ok(serde_json::from_str::<Features>(json)?.into()),
            Kind::Inversion => Ok(serde_json::from_str::<Inversion>(json)?.into()),
        }
    }

    /// What kind of job it makes.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Pictures(generation) if generation.edit.is_some() => Kind::Edit,
            Self::Pictures(_) => Kind::Generation,
            Self::Inversion(_) => Kind::Inversion,
            Self::Features(_) => Kind::Features,
        }
    }

    /// The model's id.
    pub fn model(&self) -> &str {
        match self {
            Self::Pictures(generation) => &generation.model,
            Self::Inversion(inversion) => &inversion.model,
            Self::Features(features) => &features.model,
        }
    }

    /// Pixels, width and height.
    pub fn size(&self) -> (u32, u32) {
        match self {
            Self::Pictures(generation) => (generation.width, generation.height),
            Self::Inversion(inversion) => (inversion.width, inversion.height),
            Self::Features(features) => (features.width, features.height),
        }
    }

    /// Seed of the first result.
    pub fn seed(&self) -> u64 {
        match self {
            Self::Pictures(generation) => generation.seed,
            Self::Inversion(inversion) => inversion.seed,
            Self::Features(features) => features.seed,
        }
    }

    /// The pictures that it asks for, if it does.
    pub fn pictures(&self) -> Option<&Generation> {
        match self {
            Self::Pictures(generation) => Some(generation),
            _ => None,
        }
    }

    /// Results to make.
    pub fn count(&self) -> u32 {
        match self {
            Self::Pictures(generation) => generation.count,
            Self::Inversion(_) | Self::Features(_) => 1,
        }
    }

    /// -10..10
    pub fn priority(&self) -> i32 {
        match self {
            Self::Pictures(generation) => generation.priority,
            Self::Inversion(inversion) => inversion.priority,
            Self::Features(features) => features.priority,
        }
    }

    /// What is handed back.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Pictures(generation) => &generation.metadata,
            Self::Inversion(inversion) => &inversion.metadata,
            Self::Features(features) => &features.metadata,
        }
    }

    /// The blobs that it names, `sha256:...`.
    pub fn inputs(&self) -> Vec<&str> {
        let named: Vec<&Value> = match self {
            Self::Pictures(generation) => {
                let edit = generation.edit.iter().flat_map(|edit| [&edit.image, &edit.inversion, &edit.mask]);
                edit.chain([&generation.latents]).flatten().collect()
            }
            Self::Inversion(inversion) => vec![&inversion.image],
            Self::Features(features) => [&features.image].into_iter().chain(&features.image_b).collect(),
        };
        named.into_iter().filter_map(|named| named.get("blob")?.as_str()).collect()
    }
}
