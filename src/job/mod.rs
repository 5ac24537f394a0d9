//! The valid job: what a request means once every default is filled in, and what became of it.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::Code;

mod features;
mod inversion;
mod request;
mod result;

pub use features::{Features, Pool};
pub use inversion::{Inversion, Precision};
pub use request::{Edit, Format, Generation, Output, PromptSyntax, Request, Resize};
pub use result::{File, Image, ImageState};

/// What kind of work a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Text (or a label, or nothing) to pictures.
    Generation,
    /// A picture and a wish to pictures.
    Edit,
    /// A picture to a code that edits start from.
    Inversion,
    /// Pictures to what the network sees in them.
    Features,
}

impl Kind {
    /// The name on the wire and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Generation => "generation",
            Self::Edit => "edit",
            Self::Inversion => "inversion",
            Self::Features => "features",
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

/// Whose a job is: `key:{id}` or `jwt:{sub}`; nobody's where keys are off.
pub type Owner = Option<Arc<str>>;

/// A job as clients see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// UUIDv7.
    pub id: Uuid,
    /// Whose it is.
    #[serde(skip)]
    pub owner: Owner,
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
    /// Milliseconds until it starts, as the queue and the measured speed of the devices let expect; null when not queued, or
    /// before anything was measured.
    #[serde(default)]
    pub estimated_wait_ms: Option<u64>,
    /// How often it was claimed.
    pub attempt: u32,
    /// How far it is.
    pub progress: Progress,
    /// Every default filled in, the seed included: of a generation, an edit or an inversion.
    pub request: Request,
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
