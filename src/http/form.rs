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

/// A body as it came: a document, or the parts of a form in their order.
#[derive(Debug)]
pub enum Raw {
    /// A document.
    Json(Value),
    /// The parts.
    Parts(Vec<Part>),
}

/// One part of a form.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name, which may come more than once.
    pub name: String,
    /// Whether it has a file's name or type.
    pub file: bool,
    /// What it holds.
    pub bytes: Bytes,
}

/// A document and the files that came beside it, by their fields.
pub type Beside = (Value, BTreeMap<String, Bytes>);

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
        Ok(match Raw::from_request(request, app).await? {
            Raw::Json(document) => Self::Json(document),
            Raw::Parts(parts) => Self::Parts(Parts::of(parts)?),
        })
    }
}

impl FromRequest<Arc<App>> for Raw {
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

async fn parts(bytes: Bytes, boundary: String) -> Result<Vec<Part>> {
    let whole = futures_util::stream::once(async move { Ok::<_, std::convert::Infallible>(bytes) });
    let mut form = Multipart::new(whole, boundary);
    let mut parts = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|error| malformed(&error))? {
        if parts.len() == MOST_PARTS {
            return Err(Problem::invalid(vec![Fault::new("", format!("the form has more than {MOST_PARTS} parts"))]));
        }
        parts.push(part(field).await?);
    }
    Ok(parts)
}

/// A JSON document without a file's name is a text too.
async fn part(field: Field<'_>) -> Result<Part> {
    let name = field.name().unwrap_or_default().to_owned();
    let text = field.content_type().is_none_or(|kind| kind.type_() == "text" || kind.subtype() == "json");
    let file = field.file_name().is_some() || !text;
    let bytes = field.bytes().await.map_err(|error| malformed(&error))?;
    Ok(Part { name, file, bytes })
}

impl Part {
    /// The part as a text.
    ///
    /// # Errors
    /// It is not UTF-8, or holds what no text may.
    pub fn text(self) -> Result<String, Fault> {
        let fault = |message: &str| Fault::new(pointer(&self.name), message);
        let text = String::from_utf8(self.bytes.into()).map_err(|_| fault("is not UTF-8"))?;
        match text.contains('\0') {
            true => Err(fault("must not contain the character U+0000")),
            false => Ok(text),
        }
    }
}

impl Parts {
    fn of(parts: Vec<Part>) -> Result<Self> {
        let mut sorted = Self::default();
        let faults: Vec<_> = parts.into_iter().filter_map(|part| sorted.take(part).err()).collect();
        if faults.is_empty() { Ok(sorted) } else { Err(Problem::invalid(faults)) }
    }

    fn take(&mut self, part: Part) -> Result<(), Fault> {
        let name = part.name.clone();
        if self.texts.contains_key(&name) || self.files.contains_key(&name) {
            return Err(Fault::new(pointer(&name), "is given more than once"));
        }
        match part.file {
            true => drop(self.files.insert(name, part.bytes)),
            false => drop(self.texts.insert(name, part.text()?)),
        }
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
            match valued(text, type_of(name).as_deref()) {
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

/// A text as a value of the JSON type `kind`; where that is open, an object or a list in JSON, a number, or the text.
///
/// # Errors
/// What [`json::parse`] has against an object.
pub fn valued(text: &str, kind: Option<&str>) -> Result<Value> {
    match kind {
        Some("string") => Ok(text.into()),
        Some("integer" | "number" | "boolean") => Ok(scalar(text)),
        _ if text.trim_start().starts_with(['{', '[']) => json::parse(text.as_bytes()),
        _ => Ok(scalar(text)),
    }
}

/// A number or a truth value in its text form, else the text.
pub fn scalar(text: &str) -> Value {
    let read = json::parse(text.trim().as_bytes()).ok().filter(|value| value.is_number() || value.is_boolean());
    read.unwrap_or_else(|| text.into())
}

fn malformed(error: &multer::Error) -> Problem {
    Problem::new(Code::InvalidRequest, format!("the form does not read: {error}"))
}
