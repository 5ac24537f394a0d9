use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Format, Request};

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
    pub fn pending(request: &Request, index: u32) -> Self {
        let (id, (width, height)) = (Uuid::now_v7(), request.size());
        let format = request.pictures().map_or(Format::Png, |pictures| pictures.output.format);
        Self {
            id,
            index,
            seed: request.seed() + u64::from(index),
            state: ImageState::Pending,
            width,
            height,
            content_type: format.content_type().into(),
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
    /// `latents`, `inversion`, `features`.
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
    /// A file of that kind for picture `index` of a request, its id drawn and its bytes not there.
    pub fn pending(request: &Request, kind: &str, index: u32) -> Self {
        let id = Uuid::now_v7();
        Self {
            id,
            index,
            seed: request.seed() + u64::from(index),
            kind: kind.into(),
            state: ImageState::Pending,
            content_type: Format::Safetensors.content_type().into(),
            size_bytes: None,
            sha256: None,
            url: format!("/v1/files/{id}"),
        }
    }
}
