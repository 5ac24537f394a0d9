//! What a run leaves: pictures are encoded off the engine thread, stored, told, and then the job's end is.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use bytes::Bytes;
use tch::Tensor;
use uuid::Uuid;

use super::{Engine, events::Event, hold};
use crate::{
    edit::file::{self, About},
    error::{Failure, Result},
    failpoint,
    job::{Job, JobError, Output, Request, Status},
    model::Card,
    pixels::{self, Given, metadata::PictureText},
    store::{Found, Outcome, Stored, blobs::sha256},
    task::{Made, Product},
};

/// Stores what a run made, each picture as blob, then row, then event, and ends its job.
pub async fn finish(engine: Engine, id: Uuid, attempt: u32, end: Result<Vec<Product>>) {
    let previews = hold(&engine.0.running).get_mut(&id).and_then(|running| running.previews.take());
    if let Some(previews) = previews {
        // One that panicked has said so.
        let _ = previews.await;
    }
    let cut = hold(&engine.0.running).get(&id).is_some_and(|running| running.counters.cut.load(Relaxed));
    let end = match end {
        Ok(products) => store_all(&engine, (id, attempt), products, cut).await,
        Err(failure) => Err(failure),
    };
    let Some((usage, progress)) = hold(&engine.0.running)
        .get(&id)
        .filter(|running| running.attempt == attempt)
        .map(|running| (running.usage(), running.counters.progress()))
    else {
        return;
    };
    let (status, error) = match end {
        Ok(()) if cut => (Status::Canceled, None),
        Ok(()) => (Status::Succeeded, None),
        Err(failure) => (Status::Failed, Some(explained(&failure))),
    };
    let outcome = Outcome { status, error, usage, progress };
    match engine.0.parts.store.finish(id, attempt, &outcome).await {
        Ok(Some(job)) => tell_end(&engine, &job),
        // A cancel or the store was quicker.
        Ok(None) => {}
        Err(cause) => {
            tracing::error!(%cause, "the end of a job was not stored; the next start runs it again");
        }
    }
    engine.remove(id);
    engine.wake();
}

/// Tells listeners, metrics and the log that a job has ended.
pub fn tell_end(engine: &Engine, job: &Job) {
    let metrics = &engine.0.parts.metrics;
    metrics.jobs_total.with_label_values(&[job.kind.name(), job.status.name()]).inc();
    let (evaluations, rows, run_ms) =
        job.usage.map_or((0, 0, 0), |usage| (usage.evaluations, usage.rows, usage.run_ms));
    if job.usage.is_some() {
        metrics.job_duration_seconds.with_label_values(&[job.kind.name()]).observe(run_ms as f64 / 1000.0);
    }
    let error = job.error.as_ref().map(|error| error.detail.as_str());
    tracing::info!(job = %job.id, status = job.status.name(), evaluations, rows, run_ms, error, "ended");
    engine.events().publish(job.id, job.attempt, Event::Ended(Box::new(job.clone())));
}

fn explained(failure: &Failure) -> JobError {
    let code = failure.code();
    JobError { code, title: code.title().into(), detail: failure.to_string() }
}

/// Stores what was made; what a run was `cut` short with says nothing of its request, which makes other pictures.
async fn store_all(engine: &Engine, (id, attempt): (Uuid, u32), products: Vec<Product>, cut: bool) -> Result<()> {
    let Ok(Found::Here(job)) = engine.0.parts.store.job(id).await else { return Ok(()) };
    let card = engine.0.parts.catalog.get(Some(job.request.model())).map_err(Failure::Internal)?.clone();
    for product in products {
        let Some(blob) = place(&job, &product) else { continue };
        let bytes = encoded(&job, &card, product, cut).await?;
        let stored = Stored { id: blob, size_bytes: bytes.len() as u64, sha256: sha256(&bytes) };
        engine.0.parts.blobs.put(&blob.to_string(), bytes).await.map_err(internal)?;
        failpoint::hit("after_blob");
        note(engine, (id, attempt), &job, &stored).await?;
    }
    Ok(())
}

/// The id that was drawn for a product.
fn place(job: &Job, product: &Product) -> Option<Uuid> {
    let index = product.index;
    match product.made {
        Made::Picture(_) => job.images.iter().find(|image| image.index == index).map(|image| image.id),
        _ => job.files.iter().find(|file| file.index == index).map(|file| file.id),
    }
}

async fn note(engine: &Engine, (id, attempt): (Uuid, u32), job: &Job, stored: &Stored) -> Result<()> {
    let store = &engine.0.parts.store;
    if job.files.iter().any(|file| file.id == stored.id) {
        store.file(id, attempt, stored).await.map_err(internal)?;
    } else if let Some(image) = store.image(id, attempt, stored).await.map_err(internal)? {
        engine.events().publish(id, attempt, Event::Image(image));
    }
    Ok(())
}

async fn encoded(job: &Job, card: &Arc<Card>, product: Product, cut: bool) -> Result<Bytes> {
    let (request, card) = (job.request.clone(), card.clone());
    let encode = move || match product.made {
        Made::Picture(rgb) => {
            let text = request.pictures().filter(|_| !cut);
            let text = text.map(|pictures| PictureText::of(pictures, product.index, &card.sha256));
            drawn(&request, (rgb, product.over), text.as_ref())
        }
        Made::Latents(values) => {
            let (width, height) = request.size();
            pixels::latents::write(&values, card.latent_for(width, height))
        }
        Made::Code(tensors) => inversion(request, &card, tensors, product.over),
        Made::Features(tensors) => features(&request, &tensors),
    };
    tokio::task::spawn_blocking(encode).await.map_err(internal)?.map(Bytes::from)
}

/// A picture with what its mask keeps, and with what it says of itself.
fn drawn(request: &Request, (rgb, over): (Vec<u8>, Option<Arc<Given>>), text: Option<&PictureText>) -> Result<Vec<u8>> {
    let rgb = match over {
        Some(given) => given.put_back(rgb),
        None => rgb,
    };
    let (width, height) = request.size();
    let output = request.pictures().map_or_else(Output::default, |pictures| pictures.output);
    pixels::encode(&rgb, width, height, output, text)
}

/// Activations with the request that they answer.
fn features(request: &Request, tensors: &[(String, Tensor)]) -> Result<Vec<u8>> {
    let said = serde_json::to_string(request).map_err(internal)?;
    pixels::tensors::write(tensors, Some(("darkroom", said)))
}

fn inversion(
    request: Request,
    card: &Card,
    tensors: Vec<(String, Tensor)>,
    given: Option<Arc<Given>>,
) -> Result<Vec<u8>> {
    match (request, given) {
        (Request::Inversion(request), Some(given)) => {
            let about = About { request: *request, model_sha256: card.sha256.clone() };
            file::write(&about, &given.picture, tensors)
        }
        _ => Err(Failure::Internal("a code belongs to an inversion and its picture".into())),
    }
}

fn internal(cause: impl std::fmt::Display) -> Failure {
    Failure::Internal(cause.to_string())
}
