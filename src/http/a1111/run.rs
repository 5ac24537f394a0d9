//! From a native request to its pictures: the job is stored, waited for, and told in the dialect's words.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use image::load_from_memory;
use tokio::task::spawn_blocking;

use super::{
    canvas::Canvas,
    desk::{Call, Seat},
    wish::Wish,
};
use crate::{
    app::App,
    http::{
        error::{Problem, Result},
        images,
        submission::Placed,
    },
    job::{Generation, ImageState, Job, Output},
    pixels::{self, PictureText},
};

/// Longer than any job takes: who waits goes away instead.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The picture around the part that is worked on, and how the whole is written.
#[derive(Clone, Debug)]
pub struct Over {
    /// The picture.
    pub canvas: Canvas,
    /// The form.
    pub output: Output,
}

/// The pictures of a wish, and the job that made them.
pub struct Made {
    /// The job.
    pub job: Job,
    /// What it was asked for.
    pub request: Generation,
    /// The pictures in base64, where the wish wants them.
    pub images: Vec<String>,
    /// The text of each picture.
    pub texts: Vec<String>,
}

/// Waits for the pictures of a job. A client that goes away meanwhile cancels it, unless it is `kept`.
///
/// # Errors
/// The service is on its way down, the job failed.
pub async fn made(
    app: &Arc<App>,
    Placed { job, .. }: Placed,
    kept: bool,
    wish: &Wish,
    over: Option<Over>,
) -> Result<Made> {
    let task = wish.force_task_id.clone().unwrap_or_else(|| job.id.to_string());
    let call = Call { caller: job.owner.clone(), job: job.id, task, steps: wish.steps, since: Instant::now() };
    let seat = Seat::take(app, call, kept);
    let ended = app.wait(job.id, FOR_EVER).await?;
    seat.leave();
    let job = ended.ok_or_else(Problem::draining)?;
    if let Some(error) = &job.error {
        return Err(Problem::new(error.code, error.detail.clone()));
    }
    let request = job.request.pictures().cloned().ok_or_else(|| Problem::internal("a wish for pictures made none"))?;
    let card = app.catalog.get(Some(&request.model)).map_err(Problem::model_not_found)?;
    let text = |index| PictureText::of(&request, index, &card.sha256).parameters;
    let ready: Vec<_> = job.images.iter().filter(|image| image.state == ImageState::Ready).collect();
    let texts: Vec<String> = ready.iter().map(|image| text(image.index)).collect();
    let mut all = Vec::new();
    for (image, text) in ready.into_iter().zip(&texts).filter(|_| wish.send_images) {
        let bytes = images::bytes(app, image.id, "picture").await?;
        let bytes = match &over {
            Some(over) => whole(over.clone(), bytes, text.clone()).await?,
            None => bytes,
        };
        all.push(STANDARD.encode(bytes));
    }
    Ok(Made { job, request, images: all, texts })
}

/// The whole picture around the part that was worked on. It says what it is, but no request that makes it.
async fn whole(over: Over, bytes: Bytes, text: String) -> Result<Bytes> {
    let work = move || {
        let part = load_from_memory(&bytes).map_err(Problem::internal)?.into_rgb8();
        let Some(whole) = over.canvas.with(&part) else { return Ok(bytes) };
        let text = PictureText { request: None, parameters: text };
        let (width, height) = whole.dimensions();
        let encoded = pixels::encode(whole.as_raw(), width, height, over.output, Some(&text));
        encoded.map(Bytes::from).map_err(Problem::internal)
    };
    spawn_blocking(work).await.map_err(Problem::internal)?
}
