//! The valid job: what a request means once every default is filled in, and what became of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::Code;

/// What kind of work a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Text (or a label, or nothing) to pictures.
    Generation,
    /// A picture and a wish to pictures.
    Edit,
}

impl Kind {
    /// The name on the wire and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generation => "generation",
            Self::Edit => "edit",
        }
    }
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted and stored, waiting for room on a device.
    Queued,
    /// Claimed by the engine.
    Running,
    /// Every picture is stored.
    Succeeded,
    /// It ended without all of its pictures; `error` says why.
    Failed,
    /// Its client or its deadline ended it.
    Canceled,
}

impl Status {
    /// Whether the job will never change again.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }

    /// The name on the wire and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

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

/// What an edit adds to a generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Edit {
    /// The blob that holds the picture, `{"blob": "sha256:..."}`.
    #[schema(value_type = Object, required = false)]
    pub image: Value,
    /// The blob that holds the mask, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub mask: Option<Value>,
    /// What the given picture shows.
    #[schema(required = false)]
    pub source_prompt: String,
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
    /// Always `plain`.
    pub prompt_syntax: String,
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
    /// -10..10; ages with waiting.
    pub priority: i32,
    /// Handed back.
    pub metadata: BTreeMap<String, String>,
}

/// A remark about one field that did not stop the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Warning {
    /// JSON pointer of the field.
    pub pointer: String,
    /// What was done instead.
    pub message: String,
}

/// Why a job ended without its pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobError {
    /// From the closed list.
    pub code: Code,
    /// The code in words.
    pub title: String,
    /// This case in words.
    pub detail: String,
}

/// Whether a picture is there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageState {
    /// Its id is drawn, its bytes are not there.
    Pending,
    /// Durable.
    Ready,
}

/// One picture of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Image {
    /// Drawn when the job was accepted.
    pub id: Uuid,
    /// 0..count
    pub index: u32,
    /// The job's seed plus the index.
    pub seed: u64,
    /// Whether it is there yet.
    pub state: ImageState,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Of the bytes as made.
    pub content_type: String,
    /// Of the bytes as made, once they are there.
    pub size_bytes: Option<u64>,
    /// Of the bytes as made, once they are there.
    pub sha256: Option<String>,
    /// Where the bytes are.
    pub url: String,
}

impl Image {
    /// Picture `index` of a request, its id drawn and its bytes not there.
    pub fn pending(request: &Generation, index: u32) -> Self {
        let id = Uuid::now_v7();
        Self {
            id,
            index,
            seed: request.seed + u64::from(index),
            state: ImageState::Pending,
            width: request.width,
            height: request.height,
            content_type: request.output.format.content_type().into(),
            size_bytes: None,
            sha256: None,
            url: format!("/v1/images/{id}"),
        }
    }
}

/// One file of a job that is not a picture. The same life as an [`Image`]'s.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct File {
    /// Drawn when the job was accepted.
    pub id: Uuid,
    /// 0..count
    pub index: u32,
    /// The job's seed plus the index.
    pub seed: u64,
    /// `latents`.
    pub kind: String,
    /// Whether it is there yet.
    pub state: ImageState,
    /// Media type.
    pub content_type: String,
    /// Once it is there.
    pub size_bytes: Option<u64>,
    /// Once it is there.
    pub sha256: Option<String>,
    /// Where the bytes are.
    pub url: String,
}

impl File {
    /// The final latents of picture `index` of a request, their id drawn and their bytes not there.
    pub fn pending(request: &Generation, index: u32) -> Self {
        let id = Uuid::now_v7();
        Self {
            id,
            index,
            seed: request.seed + u64::from(index),
            kind: "latents".into(),
            state: ImageState::Pending,
            content_type: Format::Safetensors.content_type().into(),
            size_bytes: None,
            sha256: None,
            url: format!("/v1/files/{id}"),
        }
    }
}

/// What made the pictures, for whoever wants to make them again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineInfo {
    /// darkroom's version.
    pub version: String,
    /// Such as `cpu` or `cuda:0`.
    pub device: String,
    /// The network's number type.
    pub precision: String,
    /// Whether the bytes are the same in any company.
    pub strict: bool,
    /// Over the configuration and weight files.
    pub model_sha256: String,
}

/// What a job cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Network calls per picture, summed over the pictures.
    pub evaluations: u64,
    /// Rows of those calls, guidance included.
    pub rows: u64,
    /// From accepted to claimed.
    pub queue_ms: u64,
    /// From claimed to the end.
    pub run_ms: u64,
}

/// How far a running job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// Network calls per picture, summed over the pictures.
    pub evaluations: u64,
    /// How many there will be; null where the data decide.
    pub of: Option<u64>,
}

/// A job as clients see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// UUIDv7.
    pub id: Uuid,
    /// What kind of work.
    pub kind: Kind,
    /// Where it stands.
    pub status: Status,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When it was claimed last.
    pub started_at: Option<Timestamp>,
    /// When it came to its end.
    pub finished_at: Option<Timestamp>,
    /// Older queued jobs; null when not queued.
    pub queue_position: Option<u64>,
    /// How often it was claimed.
    pub attempt: u32,
    /// How far it is.
    pub progress: Progress,
    /// Every default filled in, the seed included.
    pub request: Generation,
    /// Its pictures.
    pub images: Vec<Image>,
    /// Its other results.
    pub files: Vec<File>,
    /// Null until it runs.
    pub engine: Option<EngineInfo>,
    /// Remarks about fields.
    pub warnings: Vec<Warning>,
    /// Why it failed.
    pub error: Option<JobError>,
    /// Null until it runs.
    pub usage: Option<Usage>,
    /// Handed back.
    pub metadata: BTreeMap<String, String>,
}
