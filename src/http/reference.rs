//! Bytes that come along with a request or are named by it: base64, a data URL, a blob, a file or picture of an earlier job.
//!
//! The inner error of each function is what to tell the client about its field.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    app::App,
    http::{caller::Caller, error::Result},
    job::ImageState,
    store::Found,
};

/// Base64 as people write it: padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What an object with one field names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// `{"file": id}`
    File,
    /// `{"image": id}`
    Image,
}

impl Earlier {
    fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Image => "image",
        }
    }
}

/// The bytes that are meant, or why there are none.
///
/// # Errors
/// The store.
pub async fn fetch(app: &App, caller: &Caller, given: &Value, earlier: Earlier) -> Result<Result<Bytes, String>> {
    let name = earlier.name();
    let forms = || format!("must be base64, a data URL, {{\"{name}\": id}} or {{\"blob\": \"sha256:...\"}}");
    match given {
        Value::String(text) => Ok(decode(text)),
        Value::Object(fields) if fields.len() == 1 => match (fields.get("blob"), fields.get(name)) {
            (Some(Value::String(key)), _) => blob(app, caller, key).await,
            (_, Some(Value::String(id))) => result(app, caller, id, earlier).await,
            _ => Ok(Err(forms())),
        },
        _ => Ok(Err(forms())),
    }
}

async fn blob(app: &App, caller: &Caller, name: &str) -> Result<Result<Bytes, String>> {
    let theirs = caller.everything || app.store.owns_input(&caller.owner, &name.replacen(':', "/", 1)).await?;
    let found = if theirs { app.blobs.get_input(name).await? } else { None };
    Ok(found.ok_or_else(|| "there is no such blob (`sha256:` and 64 digits); it is kept while a job names it".into()))
}

/// A file or picture of an earlier job.
async fn result(app: &App, caller: &Caller, id: &str, earlier: Earlier) -> Result<Result<Bytes, String>> {
    let name = earlier.name();
    let missing = || Ok(Err(format!("there is no {name} of this id")));
    let Ok(id) = Uuid::try_parse(id) else { return missing() };
    if !caller.everything && app.store.owner(id).await?.is_none_or(|owner| !caller.sees(&owner)) {
        return missing();
    }
    let state = match earlier {
        Earlier::File => app.store.find_file(id).await?.map(|file| file.state),
        Earlier::Image => app.store.find_image(id).await?.map(|image| image.state),
    };
    match state {
        Found::Here(ImageState::Ready) => {
            Ok(app.blobs.get(&id.to_string()).await?.ok_or_else(|| format!("this {name} was erased")))
        }
        Found::Here(_) => Ok(Err(format!("this {name} is pending: its job has not finished it yet"))),
        Found::Gone => Ok(Err(format!("this {name} was erased"))),
        Found::Missing => missing(),
    }
}

/// Bare base64 or a data URL; line breaks within it do not count, blanks do: they were plus signs once.
fn decode(text: &str) -> Result<Bytes, String> {
    let bare = match text.strip_prefix("data:") {
        Some(url) => url.split_once(";base64,").ok_or("a data URL must be in base64")?.1,
        None => text,
    };
    let packed: String = bare.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    match BASE64.decode(packed) {
        Ok(bytes) if bytes.is_empty() => Err("is empty".into()),
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(format!("is not base64: {error}")),
    }
}
