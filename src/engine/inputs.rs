//! What a request names by its hash: read again when the job is planned.

use bytes::Bytes;
use serde_json::Value;

use crate::{
    edit,
    error::{Failure, Result},
    job::{Edit, Generation},
    pixels::{self, Given},
    store::blobs::Blobs,
};

/// The initial noise `[C, h, w]` that a request names.
///
/// # Errors
/// A blob that is no longer there, or does not fit.
pub async fn latents(blobs: &Blobs, given: &Value, shape: [i64; 3]) -> Result<Vec<f32>> {
    Ok(pixels::latents::read(&blob(blobs, given).await?, shape)?)
}

/// The picture and the mask that an edit names, at the size of its request; `pixels` is the most that a picture may have.
///
/// # Errors
/// As [`latents`].
pub async fn given(blobs: &Blobs, request: &Generation, edit: &Edit, pixels: u64) -> Result<Given> {
    let image = blob(blobs, &edit.image).await?;
    let mask = match &edit.mask {
        Some(mask) => Some(blob(blobs, mask).await?),
        None => None,
    };
    let feather = edit::read(&edit.method)?.feather();
    let fitting = ((request.width, request.height), edit.resize);
    let read = move || {
        let decoded = |bytes: &Bytes| pixels::decode(bytes, pixels).map_err(Failure::Internal);
        let mask = mask.as_ref().map(decoded).transpose()?;
        Ok(Given::new(&decoded(&image)?.rgb, mask.as_ref().map(|mask| &mask.rgb), fitting, feather))
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
