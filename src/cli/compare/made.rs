//! What the runs made: latents out of their files, and the pictures of those latents.

use std::sync::Arc;

use anyhow::{Context, bail};
use image::{ImageFormat, RgbImage};
use serde_json::{Value, json};
use uuid::Uuid;

use super::run::{self, Wish};
use crate::{
    app::App,
    job::{Job, Status},
    model::Card,
    pixels::latents,
};

/// What a run made, seed by seed.
#[derive(Debug)]
pub struct Made {
    /// The latents as the sampler ended them.
    pub latents: Vec<Vec<f32>>,
    /// Their pictures.
    pub pictures: Vec<RgbImage>,
}

/// What each job made, or why it made nothing.
///
/// # Errors
/// A result that cannot be read, or latents that cannot be decoded.
pub async fn collect(app: &Arc<App>, card: &Card, jobs: &[Job]) -> anyhow::Result<Vec<Result<Made, String>>> {
    let mut pictures = pictures(app, jobs).await?.into_iter();
    let mut all = Vec::new();
    for job in jobs {
        if let Some(failure) = failure(job) {
            all.push(Err(failure));
            continue;
        }
        let (width, height) = job.request.size();
        let shape = card.latent_for(width, height);
        let mut rows = Vec::new();
        for file in &job.files {
            let bytes = result(app, file.id).await?;
            rows.push(latents::read(&bytes, shape).map_err(|fault| anyhow::anyhow!("{fault}"))?);
        }
        let pictures = pictures.by_ref().take(rows.len()).collect();
        all.push(Ok(Made { latents: rows, pictures }));
    }
    Ok(all)
}

/// The pictures of all latents that were made, in their order.
async fn pictures(app: &Arc<App>, jobs: &[Job]) -> anyhow::Result<Vec<RgbImage>> {
    let files =
        jobs.iter().filter(|job| failure(job).is_none()).flat_map(|job| job.files.iter().map(move |file| (job, file)));
    let wishes = files.map(|(job, file)| Wish { name: "decoding".into(), lane: 0, request: decoding(job, file.id) });
    let accepted = run::accepted(app, wishes.collect()).await?;
    let mut pictures = Vec::new();
    for job in run::run(app, accepted, &["decoding".to_owned()], "pictures").await? {
        if let Some(failure) = failure(&job) {
            bail!("decoding failed: {failure}");
        }
        let image = job.images.first().context("a picture is gone")?;
        let bytes = result(app, image.id).await?;
        pictures.push(image::load_from_memory_with_format(&bytes, ImageFormat::Png)?.into_rgb8());
    }
    Ok(pictures)
}

/// One step from a level to the same level leaves latents as they are, and then they are decoded. The level has so little
/// noise that the start takes the latents as they come.
fn decoding(job: &Job, latents: Uuid) -> Value {
    let (width, height) = job.request.size();
    let still = json!({
        "name": "karras", "sigma_min": 1e-6, "sigma_max": 1e-6, "start": "unit", "time": "real", "end": "first",
    });
    json!({
        "latents": { "file": latents.to_string() }, "sampler": "ddim", "steps": 1, "schedule": still, "guidance": "none",
        "width": width, "height": height,
    })
}

fn failure(job: &Job) -> Option<String> {
    let said = || job.error.as_ref().map_or("canceled".into(), |error| format!("{}: {}", error.title, error.detail));
    (job.status != Status::Succeeded).then(said)
}

async fn result(app: &App, id: Uuid) -> anyhow::Result<bytes::Bytes> {
    app.blobs.get(&id.to_string()).await?.context("a result is gone")
}
