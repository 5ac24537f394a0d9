//! Initial noise that comes along with a request: read, checked, and kept as a blob named by its hash.

use serde_json::{Value, json};

use crate::{
    app::App,
    error::Fault,
    http::{
        caller::Caller,
        error::Result,
        reference::{Earlier, fetch},
        request::GenerateRequest,
    },
    model::Card,
    pixels,
};

/// Reads what `latents` names, checks it against the model and the asked size, and stores it; answers the reference that
/// the job keeps, `{"blob": "sha256:..."}`.
///
/// # Errors
/// Outside, what is ours to mend; inside, the fault of the field.
pub async fn store(
    (app, caller): (&App, &Caller),
    card: &Card,
    request: &GenerateRequest,
    given: &Value,
) -> Result<Result<Value, Fault>> {
    let bytes = match fetch(app, caller, given, Earlier::File).await? {
        Ok(bytes) => bytes,
        Err(message) => return Ok(Err(Fault::new("/latents", message))),
    };
    let native = card.native();
    let (width, height) = (request.width.unwrap_or(native.0), request.height.unwrap_or(native.1));
    if let Err(fault) = pixels::latents::read(&bytes, card.latent_for(width, height)) {
        return Ok(Err(fault));
    }
    let key = app.blobs.put_input(bytes).await?;
    Ok(Ok(json!({ "blob": key })))
}
