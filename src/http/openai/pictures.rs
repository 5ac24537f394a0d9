//! Pictures as OpenAI's clients send or name them, and the mask that their transparency is.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::{fields::Fields, form::Files};
use crate::{
    app::App,
    error::Fault,
    http::{
        caller::Caller,
        error::{Problem, Result},
        reference::{Earlier, fetch},
    },
    pixels,
};

/// Pictures in one request at most.
const MOST: usize = 16;

/// The pictures of a request.
#[derive(Debug)]
pub struct Pictures {
    /// What is edited.
    pub image: Bytes,
    /// What says where, as it came.
    pub mask: Option<Bytes>,
    /// Pictures that came along and are not read.
    pub others: usize,
}

impl Pictures {
    /// Reads the first picture and the mask; `base` is what this server's own addresses begin with.
    ///
    /// # Errors
    /// None, too many, or one that cannot be had.
    pub async fn read(from: (&App, &Caller), base: &str, fields: &Fields, files: Files) -> Result<Self> {
        let at = if fields.images.is_some() { "/images" } else { "/image" };
        let named: Vec<&Value> = [&fields.image, &fields.images].into_iter().flatten().flat_map(listed).collect();
        let count = files.images.len() + named.len();
        if count == 0 || count > MOST {
            let message =
                if count == 0 { "is missing".into() } else { format!("has {count} pictures, of at most {MOST}") };
            return Err(Problem::invalid(vec![Fault::new(at, message)]));
        }
        if files.mask.len() + usize::from(fields.mask.is_some()) > 1 {
            return Err(Problem::invalid(vec![Fault::new("/mask", "is given more than once")]));
        }
        let image = match (files.images.into_iter().next(), named.first()) {
            (Some(bytes), _) => bytes,
            (None, named) => reached(from, base, at, named.copied().unwrap_or(&Value::Null)).await?,
        };
        let mask = match (files.mask.into_iter().next(), &fields.mask) {
            (Some(bytes), _) => Some(bytes),
            (None, Some(named)) => Some(reached(from, base, "/mask", named).await?),
            (None, None) => None,
        };
        Ok(Self { image, mask, others: count - 1 })
    }

    /// What may change, white on black as a PNG: what is transparent in the mask, else in the picture; `None` where that has no
    /// transparent pixel.
    ///
    /// # Errors
    /// A picture that cannot be read, or a mask without transparent pixels.
    pub async fn change(&self, app: &App) -> Result<Option<Bytes>> {
        let (pointer, bytes) = self.mask.as_ref().map_or(("/image", &self.image), |mask| ("/mask", mask));
        let (limit, read) = (app.config.limits.pixels, bytes.clone());
        // A decoder that panics has met with a picture that it cannot read.
        let found = spawn_blocking(move || pixels::transparent(&read, limit)).await.unwrap_or_else(|error| {
            tracing::error!(%error, pointer, "a decoder panicked");
            Err("cannot be decoded".into())
        });
        match found {
            Ok(None) if self.mask.is_some() => {
                Err("must have transparent pixels: they say what is edited, and all else is kept".into())
            }
            found => found.map(|found| found.map(Bytes::from)),
        }
        .map_err(|message| Problem::invalid(vec![Fault::new(pointer, message)]))
    }
}

/// A list, or the one thing.
fn listed(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

/// The bytes that a reference names.
async fn reached((app, caller): (&App, &Caller), base: &str, pointer: &str, given: &Value) -> Result<Bytes> {
    let fault = |message: String| Problem::invalid(vec![Fault::new(pointer, message)]);
    let native = native(given, base).map_err(fault)?;
    fetch(app, caller, &native, Earlier::Image).await?.map_err(fault)
}

/// A reference in native words.
fn native(given: &Value, base: &str) -> Result<Value, String> {
    let one = "must be `{\"image_url\": \"data:...\"}` or `{\"file_id\": id}` with the id of an earlier picture";
    let text = match given {
        Value::String(text) => text,
        Value::Object(fields) => match (fields.get("image_url"), fields.get("file_id")) {
            (Some(Value::String(url)), None) => url,
            (None, Some(Value::String(id))) => return Ok(json!({ "image": id })),
            (None, None) if fields.contains_key("image") || fields.contains_key("blob") => return Ok(given.clone()),
            _ => return Err(one.into()),
        },
        _ => return Err(one.into()),
    };
    let own = text.strip_prefix(base).and_then(|path| path.strip_prefix("/v1/images/"));
    match own.and_then(|rest| rest.split(['?', '#']).next()) {
        Some(id) => Ok(json!({ "image": id })),
        None if text.contains("://") => {
            Err("is an address elsewhere, which is not fetched; send a data URL or the id of an earlier picture".into())
        }
        None => Ok(text.as_str().into()),
    }
}
