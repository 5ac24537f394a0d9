//! Initial noise that comes along with a request: read, checked, and kept as a blob named by its hash.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::App,
    error::Fault,
    http::{error::Result, request::GenerateRequest},
    job::ImageState,
    model::Card,
    pixels,
    store::Found,
};

/// Base64 as people write it: padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads what `latents` names, checks it against the model and the asked size, and stores it; answers the reference that
/// the job keeps, `{"blob": "sha256:..."}`.
///
/// # Errors
/// Outside, what is ours to mend; inside, the fault of the field.
pub async fn store(app: &App, card: &Card, request: &GenerateRequest, given: &Value) -> Result<Result<Value, Fault>> {
    let bytes = match fetch(app, given).await? {
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

/// The bytes that are meant, or why there are none.
async fn fetch(app: &App, given: &Value) -> Result<Result<Bytes, String>> {
    match given {
        Value::String(text) => Ok(decode(text)),
        Value::Object(fields) if fields.len() == 1 => match (fields.get("blob"), fields.get("file")) {
            (Some(Value::String(key)), _) => blob(app, key).await,
            (_, Some(Value::String(id))) => file(app, id).await,
            _ => Ok(Err(FORMS.into())),
        },
        _ => Ok(Err(FORMS.into())),
    }
}

const FORMS: &str = "must be base64, a data URL, {\"file\": id} or {\"blob\": \"sha256:...\"}";

async fn blob(app: &App, name: &str) -> Result<Result<Bytes, String>> {
    let found = app.blobs.get_input(name).await?;
    Ok(found.ok_or_else(|| "there is no such blob (`sha256:` and 64 digits); it is kept while a job names it".into()))
}

async fn file(app: &App, id: &str) -> Result<Result<Bytes, String>> {
    let Ok(id) = Uuid::try_parse(id) else { return Ok(Err("there is no file of this id".into())) };
    match app.store.find_file(id).await? {
        Found::Here(file) if file.state == ImageState::Ready => {
            Ok(app.blobs.get(&id.to_string()).await?.ok_or_else(|| "this file was erased".into()))
        }
        Found::Here(_) => Ok(Err("this file is pending: its job has not finished it yet".into())),
        Found::Gone => Ok(Err("this file was erased".into())),
        Found::Missing => Ok(Err("there is no file of this id".into())),
    }
}

/// Bare base64 or a data URL; white space within it does not count.
fn decode(text: &str) -> Result<Bytes, String> {
    let bare = match text.strip_prefix("data:") {
        Some(url) => url.split_once(";base64,").ok_or("a data URL must be in base64")?.1,
        None => text,
    };
    let packed: String = bare.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    match BASE64.decode(packed.trim()) {
        Ok(bytes) if bytes.is_empty() => Err("is empty".into()),
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(format!("is not base64: {error}")),
    }
}
