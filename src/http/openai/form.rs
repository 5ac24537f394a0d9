//! A form as OpenAI's clients send it, read into a document and the pictures beside it.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::{Map, Value};
use utoipa::PartialSchema;

use super::{
    brackets::{Step, path, put},
    fields::Fields,
};
use crate::{
    error::Fault,
    http::{
        edit_request::EditRequest,
        error::{Problem, Result},
        form::{Part, Raw, pointer, valued},
    },
};

/// The pictures that came as files.
#[derive(Debug, Default)]
pub struct Files {
    /// `image`, which may come more than once, also as `image[]`.
    pub images: Vec<Bytes>,
    /// `mask`
    pub mask: Vec<Bytes>,
}

/// The document and the files of a body.
///
/// # Errors
/// Parts that mean nothing, or the same thing twice.
pub fn read(raw: Raw) -> Result<(Value, Files)> {
    let parts = match raw {
        Raw::Json(document) => return Ok((document, Files::default())),
        Raw::Parts(parts) => parts,
    };
    let (mut fields, mut files) = (Map::new(), Files::default());
    let faults: Vec<_> = parts.into_iter().filter_map(|part| take(part, &mut fields, &mut files).err()).collect();
    if faults.is_empty() { Ok((fields.into(), files)) } else { Err(Problem::invalid(faults)) }
}

fn take(part: Part, fields: &mut Map<String, Value>, files: &mut Files) -> Result<(), Fault> {
    let name = part.name.clone();
    let fault = |message: String| Fault::new(pointer(&name), message);
    let (field, steps) = path(&name).map_err(fault)?;
    match (field, part.file) {
        ("image", true) => files.images.push(part.bytes),
        ("mask", true) => files.mask.push(part.bytes),
        (_, true) => return Err(fault("is a file; `image` and `mask` are taken".into())),
        (_, false) => {
            let value = value(&part.text()?, field, &steps).map_err(|problem| fault(problem.to_string()))?;
            if !put(fields.entry(field).or_insert(Value::Null), &steps, &value) {
                return Err(fault("is given more than once".into()));
            }
        }
    }
    Ok(())
}

/// A text as the type of its field has it; texts within `metadata` stay texts.
fn value(text: &str, field: &str, steps: &[Step]) -> Result<Value> {
    let kind = match (field, steps) {
        ("metadata", [_, ..]) => Some("string".into()),
        (_, []) => type_of(field),
        _ => None,
    };
    valued(text, kind.as_deref())
}

/// The JSON type of a field of ours or OpenAI's; `None` where it may have several.
fn type_of(name: &str) -> Option<String> {
    static SCHEMA: LazyLock<Value> =
        LazyLock::new(|| serde_json::to_value(Fields::schema()).expect("a schema is JSON"));
    match &SCHEMA["properties"][name] {
        Value::Null => EditRequest::type_of(name),
        // A word of a closed list.
        field if field["type"].is_null() && !["image", "images", "mask"].contains(&name) => Some("string".into()),
        field => {
            let kind = &field["type"];
            let named = kind.as_array().and_then(|kinds| kinds.iter().find(|kind| *kind != "null")).unwrap_or(kind);
            named.as_str().map(str::to_owned)
        }
    }
}
