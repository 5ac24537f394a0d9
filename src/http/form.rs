//! A request as a form: files beside fields, and numbers and objects as texts.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{FromRequest, Request},
    http::header,
};
use bytes::Bytes;
use multer::{Field, Multipart, parse_boundary};
use serde_json::{Map, Value};

use crate::{
    app::App,
    error::{Code, Fault},
    http::{
        body::{self, expect_json},
        error::{Problem, Result},
        json,
    },
};

/// Parts of a form at most; the largest honest one has a few dozen.
const MOST_PARTS: usize = 100;

/// Fields, and the files that came beside them: a JSON body, or a form of the media type `multipart/form-data`.
#[derive(Debug)]
pub enum Form {
    /// A document.
    Json(Value),
    /// Texts and files by name.
    Parts(Parts),
}

/// The parts of a form.
#[derive(Debug, Default)]
pub struct Parts {
    /// Parts without a file's name or type.
    pub texts: BTreeMap<String, String>,
    /// The others.
    pub files: BTreeMap<String, Bytes>,
}

impl FromRequest<Arc<App>> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let boundary = kind.and_then(|kind| parse_boundary(kind).ok());
        match boundary {
            Some(boundary) => parts(body::bytes(request, app).await?, boundary).await.map(Self::Parts),
            None => {
                expect_json(request.headers(), "application/json or multipart/form-data")?;
                body::Json::from_request(request, app).await.map(|body::Json(document)| Self::Json(document))
            }
        }
    }
}

async fn parts(bytes: Bytes, boundary: String) -> Result<Parts> {
    let whole = futures_util::stream::once(async move { Ok::<_, std::convert::Infallible>(bytes) });
    let mut form = Multipart::new(whole, boundary);
    let (mut parts, mut count) = (Parts::default(), 0);
    while let Some(field) = form.next_field().await.map_err(|error| malformed(&error))? {
        count += 1;
        if count > MOST_PARTS {
            return Err(Problem::invalid(vec![Fault::new("", format!("the form has more than {MOST_PARTS} parts"))]));
        }
        parts.take(field).await?;
    }
    Ok(parts)
}

impl Parts {
    async fn take(&mut self, field: Field<'_>) -> Result<()> {
        let name = field.name().unwrap_or_default().to_owned();
        let fault = |message: &str| Problem::invalid(vec![Fault::new(pointer(&name), message)]);
        if self.texts.contains_key(&name) || self.files.contains_key(&name) {
            return Err(fault("is given more than once"));
        }
        let text = field.file_name().is_none() && field.content_type().is_none_or(|kind| kind.type_() == "text");
        let bytes = field.bytes().await.map_err(|error| malformed(&error))?;
        if !text {
            self.files.insert(name, bytes);
            return Ok(());
        }
        let text = String::from_utf8(bytes.into()).map_err(|_| fault("is not UTF-8"))?;
        self.texts.insert(name, text);
        Ok(())
    }

    /// The texts as a document whose fields have the types that `type_of` says; a text that is none stays one.
    ///
    /// # Errors
    /// What [`json::parse`] has against an object.
    pub fn document(&self, type_of: impl Fn(&str) -> Option<String>) -> Result<Value> {
        let mut fields = Map::new();
        let mut faults = Vec::new();
        for (name, text) in &self.texts {
            if text.contains('\0') {
                faults.push(Fault::new(pointer(name), "must not contain the character U+0000"));
            }
            let value = match type_of(name).as_deref() {
                Some("string") => Ok(text.as_str().into()),
                Some("integer" | "number" | "boolean") => Ok(scalar(text)),
                _ => valued(text),
            };
            match value {
                Ok(value) => drop(fields.insert(name.clone(), value)),
                Err(problem) => faults.push(Fault::new(pointer(name), problem.to_string())),
            }
        }
        if faults.is_empty() { Ok(fields.into()) } else { Err(Problem::invalid(faults)) }
    }
}

/// The JSON pointer of a field (RFC 6901).
pub fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// A number or a truth value in its text form, else the text.
pub fn scalar(text: &str) -> Value {
    let read = json::parse(text.trim().as_bytes()).ok().filter(|value| value.is_number() || value.is_boolean());
    read.unwrap_or_else(|| text.into())
}

/// An object or a list in JSON, a number, or the text.
fn valued(text: &str) -> Result<Value> {
    match text.trim_start().starts_with(['{', '[']) {
        true => json::parse(text.as_bytes()),
        false => Ok(scalar(text)),
    }
}

fn malformed(error: &multer::Error) -> Problem {
    Problem::new(Code::InvalidRequest, format!("the form does not read: {error}"))
}
