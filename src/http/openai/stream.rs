//! Pictures as they are made, in OpenAI's events.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
};

use axum::response::{Response, sse::Event};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::stream;
use jiff::Timestamp;
use serde::Serialize;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    answer::{Common, Remark, Told, Usage, base64, remarks},
    route::Route,
    waiting::Waiting,
};
use crate::{
    engine::events::Preview,
    http::{
        error::{OpenAiError, Problem, Result},
        events,
    },
    job::{Image, Job, Output},
    pixels::preview::enlarged,
};

/// A picture on its way, or finished.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImagesEvent)]
pub struct Picture {
    /// `image_generation.partial_image`, `image_generation.completed`, or the same with `image_edit`.
    #[serde(rename = "type")]
    kind: String,
    /// Its bytes in base64.
    b64_json: String,
    /// Now, in seconds since 1970.
    created_at: i64,
    /// What all of them have in common.
    #[serde(flatten)]
    common: Common,
    /// Which of `n` pictures it is.
    index: u32,
    /// Which preview of that picture it is, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_image_index: Option<u32>,
    /// Of a finished one.
    #[serde(flatten)]
    finished: Option<Finished>,
}

/// What is said of a finished picture alone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImagesFinished)]
pub struct Finished {
    /// What it took.
    usage: Usage,
    /// Its id, which an edit takes as `file_id`.
    id: Uuid,
    /// What makes this one picture again.
    seed: u64,
    /// Remarks about fields that did not stop the job.
    warnings: Vec<Remark>,
    /// The job, as `/v1/jobs/{id}` shows it.
    job: Uuid,
}

/// The end of a stream that has no pictures.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImagesError)]
pub struct Failed {
    /// Always `error`.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: &'static str,
    /// Why.
    error: OpenAiError,
}

/// The stream of a job that was just stored.
pub fn answer(job: Job, waiting: Waiting, told: Told) -> Response {
    let following = Following { job, waiting, told, shown: BTreeMap::new(), left: None };
    events::unbuffered(stream::unfold(Some(following), |following| async move {
        let (event, following) = following?.next().await?;
        Some((Ok::<_, Infallible>(event), following))
    }))
}

struct Following {
    job: Job,
    waiting: Waiting,
    told: Told,
    /// Previews so far, by picture.
    shown: BTreeMap<u32, u32>,
    /// Finished pictures that are still to be sent, once the job has ended.
    left: Option<VecDeque<Image>>,
}

impl Following {
    /// The next event, and what follows it: nothing after an error.
    async fn next(mut self) -> Option<(Event, Option<Self>)> {
        match self.picture().await {
            Ok(picture) => {
                let picture = picture?;
                let event = Event::default().event(&picture.kind).json_data(&picture);
                Some((event.expect("a picture in base64 is JSON"), Some(self)))
            }
            Err(problem) => {
                let failed = Failed { kind: "error", error: problem.openai() };
                Some((Event::default().event("error").json_data(failed).expect("an error is JSON"), None))
            }
        }
    }

    async fn picture(&mut self) -> Result<Option<Picture>> {
        if self.left.is_none() {
            if let Some(preview) = self.waiting.next().await {
                return self.partial(preview).await.map(Some);
            }
            self.job = self.waiting.end().await?;
            self.left = Some(self.job.images.iter().cloned().collect());
        }
        match self.left.as_mut().and_then(VecDeque::pop_front) {
            Some(image) => self.completed(&image).await.map(Some),
            None => Ok(None),
        }
    }

    /// A preview in the form of the picture that will be.
    async fn partial(&mut self, preview: Preview) -> Result<Picture> {
        let Preview { index, bytes, .. } = preview;
        let size = self.job.request.size();
        let output = self.job.request.pictures().map_or_else(Output::default, |pictures| pictures.output);
        let drawn = spawn_blocking(move || enlarged(&bytes, size, output)).await;
        let drawn = drawn.map_err(Problem::internal)?.map_err(Problem::internal)?;
        let shown = self.shown.entry(index).or_default();
        *shown += 1;
        let partial = *shown - 1;
        let picture = self.told_of("partial_image", index, BASE64_STANDARD.encode(drawn));
        Ok(Picture { partial_image_index: Some(partial), ..picture })
    }

    async fn completed(&self, image: &Image) -> Result<Picture> {
        let (app, job) = (&self.waiting.app, &self.job);
        let evaluations = job.usage.map_or(0, |usage| usage.evaluations) / u64::from(job.request.count().max(1));
        let finished = Finished {
            usage: Usage::of(app, job, evaluations),
            id: image.id,
            seed: image.seed,
            warnings: remarks(job, &self.told),
            job: job.id,
        };
        let picture = self.told_of("completed", image.index, base64(app, image).await?);
        Ok(Picture { finished: Some(finished), ..picture })
    }

    fn told_of(&self, what: &str, index: u32, b64_json: String) -> Picture {
        let family = if self.told.manner.route == Route::Generation { "image_generation" } else { "image_edit" };
        Picture {
            kind: format!("{family}.{what}"),
            b64_json,
            created_at: Timestamp::now().as_second(),
            common: Common::of(&self.waiting.app, &self.job, &self.told),
            index,
            partial_image_index: None,
            finished: None,
        }
    }
}
