//! What a finished job looks like to an OpenAI client.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    faults::renamed,
    fields::{PictureFormat, ResponseFormat},
    request::Manner,
};
use crate::{
    app::App,
    http::{
        error::{Problem, Result, dotted},
        images::bytes,
    },
    job::{Image, Job},
};

/// How and under which address the answer is told.
#[derive(Clone, Debug)]
pub struct Told {
    /// What addresses begin with.
    pub base: String,
    /// How the client wants it.
    pub manner: Manner,
}

/// Finished pictures.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImagesResponse)]
pub struct Answer {
    /// When they were made, in seconds since 1970.
    created: i64,
    /// The pictures.
    data: Vec<Datum>,
    /// What they have in common.
    #[serde(flatten)]
    common: Common,
    /// What they took.
    usage: Usage,
    /// Remarks about fields that did not stop the job.
    warnings: Vec<Remark>,
    /// The job, as `/v1/jobs/{id}` shows it.
    job: Uuid,
}

/// One picture.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImagesDatum)]
pub struct Datum {
    /// Its bytes in base64, with `response_format` `b64_json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    b64_json: Option<String>,
    /// Its address, with `response_format` `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// Its id, which an edit takes as `file_id`.
    id: Uuid,
    /// What makes this one picture again.
    seed: u64,
}

/// What is said of finished and unfinished pictures.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ImagesCommon)]
pub struct Common {
    /// Always `opaque`.
    #[schema(value_type = String)]
    background: &'static str,
    /// How they are written.
    output_format: PictureFormat,
    /// `WIDTHxHEIGHT`
    size: String,
    /// `low`, `medium` or `high`, by the steps that ran.
    #[schema(value_type = String)]
    quality: &'static str,
}

/// What pictures took.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = ImagesUsage)]
pub struct Usage {
    /// The tokens of the prompts that were read.
    input_tokens: u64,
    /// The network's evaluations, summed over the pictures: the unit of work here.
    output_tokens: u64,
    /// Both.
    total_tokens: u64,
    /// The first of them.
    input_tokens_details: Tokens,
    /// The second.
    output_tokens_details: Tokens,
}

/// Tokens by what they stand for.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = ImagesTokens)]
pub struct Tokens {
    /// Of text.
    text_tokens: u64,
    /// Of pictures; those that come in count nothing.
    image_tokens: u64,
}

/// A remark about one field.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ImagesWarning)]
pub struct Remark {
    /// The field, its levels parted by dots.
    param: String,
    /// What was done instead.
    message: String,
}

impl Answer {
    /// The answer of a job that has succeeded.
    ///
    /// # Errors
    /// Pictures that were erased since; the store.
    pub async fn of(app: &App, job: &Job, told: &Told) -> Result<Self> {
        let mut data = Vec::new();
        for image in &job.images {
            data.push(Datum::of(app, image, told).await?);
        }
        Ok(Self {
            created: job.finished_at.unwrap_or(job.created_at).as_second(),
            data,
            common: Common::of(app, job, told),
            usage: Usage::of(app, job, job.usage.map_or(0, |usage| usage.evaluations)),
            warnings: remarks(job, told),
            job: job.id,
        })
    }
}

impl Datum {
    async fn of(app: &App, image: &Image, told: &Told) -> Result<Self> {
        let (b64_json, url) = match told.manner.response_format {
            ResponseFormat::B64Json => (Some(base64(app, image).await?), None),
            ResponseFormat::Url => (None, Some(format!("{}{}", told.base, image.url))),
        };
        Ok(Self { b64_json, url, id: image.id, seed: image.seed })
    }
}

impl Common {
    /// Of a job's pictures, made or not.
    pub fn of(app: &App, job: &Job, told: &Told) -> Self {
        let (width, height) = job.request.size();
        let each = job.progress.of.unwrap_or(0) / u64::from(job.request.count().max(1));
        let steps = job.request.pictures().and_then(|pictures| pictures.steps).map_or(each, u64::from);
        Self {
            background: "opaque",
            output_format: told.manner.output_format,
            size: format!("{width}x{height}"),
            quality: quality(app, steps),
        }
    }
}

impl Usage {
    /// Of a job whose pictures took so many evaluations.
    pub fn of(app: &App, job: &Job, evaluations: u64) -> Self {
        let text = app.catalog.get(Some(job.request.model())).ok().and_then(|card| card.text.as_ref());
        let prompts = job.request.pictures().map(|made| [&made.prompt, &made.negative_prompt]);
        let read = text
            .zip(prompts)
            .map_or(0, |(text, prompts)| prompts.iter().map(|prompt| text.tokenizer.count(prompt) as u64).sum::<u64>());
        Self {
            input_tokens: read,
            output_tokens: evaluations,
            total_tokens: read + evaluations,
            input_tokens_details: Tokens { text_tokens: read, image_tokens: 0 },
            output_tokens_details: Tokens { text_tokens: 0, image_tokens: evaluations },
        }
    }
}

/// The first of `low`, `medium` and `high` that has so many steps.
fn quality(app: &App, steps: u64) -> &'static str {
    let most = |name: &str| app.config.openai.quality.get(name).copied().map_or(0, u64::from);
    ["low", "medium"].into_iter().find(|name| steps <= most(name)).unwrap_or("high")
}

/// Remarks of the dialect and of the job.
pub fn remarks(job: &Job, told: &Told) -> Vec<Remark> {
    let warnings = told.manner.warnings.iter().chain(&job.warnings);
    let param = |pointer: &str| dotted(&renamed(pointer));
    warnings.map(|warning| Remark { param: param(&warning.pointer), message: warning.message.clone() }).collect()
}

/// A picture's bytes in base64.
///
/// # Errors
/// It was erased; the store.
pub async fn base64(app: &App, image: &Image) -> Result<String, Problem> {
    Ok(BASE64_STANDARD.encode(bytes(app, image.id, "picture").await?))
}
