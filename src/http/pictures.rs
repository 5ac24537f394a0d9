//! Pictures that come along with a request: read, decoded and bounded before anything is stored.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::{
    app::App,
    error::Fault,
    http::{
        caller::Caller,
        error::Result,
        reference::{Earlier, fetch},
    },
    pixels::{self, Decoded},
    store::blobs::sha256,
};

/// A picture that can be read.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// As they came.
    pub bytes: Bytes,
    /// Pixels, width and height, upright.
    pub size: (u32, u32),
    /// Whether there were more frames than the one that is read.
    pub animated: bool,
}

impl Incoming {
    /// What a job's request says instead of it.
    pub fn reference(&self) -> Value {
        json!({ "blob": format!("sha256:{}", sha256(&self.bytes)) })
    }
}

/// The picture that the field at `pointer` names, or that came as a file in its stead.
///
/// # Errors
/// Outside, what is ours to mend; inside, the fault of the field.
pub async fn read(
    (app, caller): (&App, &Caller),
    pointer: &str,
    file: Option<Bytes>,
    given: Option<&Value>,
) -> Result<Result<Option<Incoming>, Fault>> {
    let fault = |message| Fault::new(pointer, message);
    let bytes = match (file, given) {
        (Some(bytes), _) => Ok(bytes),
        (None, Some(given)) => fetch(app, caller, given, Earlier::Image).await?,
        (None, None) => return Ok(Ok(None)),
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(message) => return Ok(Err(fault(message))),
    };
    let (pixels, read) = (app.config.limits.pixels, bytes.clone());
    // A decoder that panics has met with a picture that it cannot read.
    let decoded = spawn_blocking(move || pixels::decode(&read, pixels)).await;
    let decoded = decoded.unwrap_or_else(|error| {
        tracing::error!(%error, pointer, "a decoder panicked");
        Err("cannot be decoded".into())
    });
    let incoming = |Decoded { rgb, animated }| Some(Incoming { bytes, size: rgb.dimensions(), animated });
    Ok(decoded.map(incoming).map_err(fault))
}
