//! From a job's request to its plan: what the request names by its hash is read again.

use bytes::Bytes;
use image::RgbImage;
use serde_json::Value;

use super::EngineParts;
use crate::{
    edit::{self, Code, file::InversionFile},
    error::{Failure, Result},
    job::{Edit, Features, Generation, Precision, Request},
    pixels::{self, Given},
    store::blobs::Blobs,
    task::{Plan, Task},
};

/// The task of a request, of which these pictures are still to make; what it names is still to be read.
///
/// # Errors
/// A request that this version does not read.
pub fn task(parts: &EngineParts, request: &Request, pictures: Vec<u32>) -> Result<Task> {
    let card = parts.catalog.get(Some(request.model())).map_err(Failure::Internal)?.clone();
    let cards = |id: &str| parts.catalog.get(Some(id)).cloned();
    Ok(Task::new(card, request, pictures, &cards)?)
}

/// The same with all that its request names.
///
/// # Errors
/// An input that is no longer there or does not fit.
pub async fn filled(parts: &EngineParts, task: Task) -> Result<Task> {
    Ok(match task {
        Task::Pictures(plan) => Task::Pictures(Box::new(planned(parts, *plan).await?)),
        Task::Look(look) => {
            let pictures = seen(parts, &look.request).await?;
            Task::Look(Box::new(look.with_pictures(pictures)))
        }
    })
}

/// The plan with all that its request names.
async fn planned(parts: &EngineParts, plan: Plan) -> Result<Plan> {
    let latents = match &plan.request.latents {
        Some(given) => Some(latents(&parts.blobs, given, plan.shape()).await?),
        None => None,
    };
    let plan = plan.with_latents(latents);
    match plan.request.edit.clone() {
        Some(edit) => editing(parts, plan, &edit).await,
        None => Ok(plan),
    }
}

/// The pictures that are looked at, at the size of their request.
async fn seen(parts: &EngineParts, wish: &Features) -> Result<Vec<RgbImage>> {
    let mut bytes = Vec::new();
    for named in [&wish.image].into_iter().chain(&wish.image_b) {
        bytes.push(blob(&parts.blobs, named).await?);
    }
    let (fitting, pixels) = (((wish.width, wish.height), wish.resize), parts.config.limits.pixels);
    let read = move || {
        let fitted = |bytes: &Bytes| {
            let decoded = pixels::decode(bytes, pixels).map_err(Failure::Internal)?;
            Ok(Given::new(&decoded.rgb, None, fitting, 0).picture)
        };
        bytes.iter().map(fitted).collect()
    };
    tokio::task::spawn_blocking(read).await.map_err(internal)?
}

/// The plan with the picture that is edited, and the code that it starts from.
async fn editing(parts: &EngineParts, plan: Plan, edit: &Edit) -> Result<Plan> {
    let request = &plan.request;
    let Some(named) = &edit.inversion else {
        let given = given(parts, request, edit, None).await?;
        return Ok(plan.with_given(Some(given)));
    };
    let bytes = blob(&parts.blobs, named).await?;
    let (picture, code, precision) = coded(&bytes, &plan).map_err(Failure::Internal)?;
    let given = given(parts, request, edit, Some(picture)).await?;
    Ok(plan.with_given(Some(given)).with_code(code, precision))
}

/// What the file of an inversion holds, as the plan needs it.
fn coded(bytes: &[u8], plan: &Plan) -> Result<(RgbImage, Option<Code>, Precision), String> {
    let file = InversionFile::read(bytes)?;
    let parts = plan.parts();
    let code = if parts.is_empty() { None } else { Some(file.code(&parts, plan.sizes())?) };
    Ok((file.picture()?, code, file.about.request.precision))
}

async fn latents(blobs: &Blobs, given: &Value, shape: [i64; 3]) -> Result<Vec<f32>> {
    Ok(pixels::latents::read(&blob(blobs, given).await?, shape)?)
}

/// The picture and the mask of an edit at the size of its request; `held` is a picture that came with an inversion.
async fn given(parts: &EngineParts, request: &Generation, edit: &Edit, held: Option<RgbImage>) -> Result<Given> {
    let named = async |named: &Option<Value>| match named {
        Some(named) => blob(&parts.blobs, named).await.map(Some),
        None => Ok(None),
    };
    let (image, mask) = (named(&edit.image).await?, named(&edit.mask).await?);
    let feather = edit::read(&edit.method)?.feather();
    let fitting = ((request.width, request.height), edit.resize);
    let pixels = parts.config.limits.pixels;
    let read = move || {
        let decoded = |bytes: &Bytes| pixels::decode(bytes, pixels).map_err(Failure::Internal);
        let image = image.as_ref().map(decoded).transpose()?.map(|image| image.rgb);
        let picture = held.or(image).ok_or_else(|| Failure::Internal("there is no picture to edit".into()))?;
        let mask = mask.as_ref().map(decoded).transpose()?;
        Ok(Given::new(&picture, mask.as_ref().map(|mask| &mask.rgb), fitting, feather))
    };
    tokio::task::spawn_blocking(read).await.map_err(internal)?
}

async fn blob(blobs: &Blobs, given: &Value) -> Result<Bytes> {
    let name = given["blob"].as_str().unwrap_or_default();
    let bytes = blobs.get_input(name).await.map_err(internal)?;
    bytes.ok_or_else(|| Failure::Internal(format!("the input {name} is no longer stored")))
}

fn internal(cause: impl std::fmt::Display) -> Failure {
    Failure::Internal(cause.to_string())
}
