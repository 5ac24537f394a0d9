//! A configuration file in which every option counts: it is taken, or it is known to change nothing, or it is an error.

use std::{fs, path::Path};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Failure, Result};

/// The options of one configuration file that nobody has taken yet.
#[derive(Debug)]
pub struct Options {
    file: String,
    fields: Map<String, Value>,
}

impl Options {
    /// Reads a file as Python writes it: JSON, with `NaN` and `Infinity`, which count as not given.
    ///
    /// # Errors
    /// A missing file, or one that is no JSON object.
    pub fn read(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let said = |why: String| Failure::Internal(format!("{file}: {why}"));
        let text = fs::read_to_string(path).map_err(|error| said(error.to_string()))?;
        let fields = serde_json::from_str(&strict(&text)).map_err(|error| said(error.to_string()))?;
        Ok(Self { file, fields })
    }

    /// A failure that names the file.
    pub fn wrong(&self, why: impl std::fmt::Display) -> Failure {
        Failure::Internal(format!("{}: {why}", self.file))
    }

    /// Takes an option; absent and null are the default.
    ///
    /// # Errors
    /// A value of another type.
    pub fn take<T: DeserializeOwned>(&mut self, key: &str, default: T) -> Result<T> {
        match self.fields.remove(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => serde_json::from_value(value).map_err(|error| self.wrong(format!("`{key}`: {error}"))),
        }
    }

    /// Takes an option that has no default.
    ///
    /// # Errors
    /// It is missing, or of another type.
    pub fn need<T: DeserializeOwned>(&mut self, key: &str) -> Result<T> {
        self.take::<Option<T>>(key, None)?.ok_or_else(|| self.wrong(format!("`{key}` is missing")))
    }

    /// Takes an option whose null means something else than its default: `None`.
    ///
    /// # Errors
    /// A value of another type.
    pub fn given<T: DeserializeOwned>(&mut self, key: &str, default: T) -> Result<Option<T>> {
        let null = self.fields.get(key).is_some_and(Value::is_null);
        let value = self.take(key, default)?;
        Ok((!null).then_some(value))
    }

    /// Takes an option that is one value, or one for each of `n` blocks.
    ///
    /// # Errors
    /// Another type, or a list of another length.
    pub fn each<T: DeserializeOwned + Clone>(&mut self, key: &str, default: T, n: usize) -> Result<Vec<T>> {
        let value = match self.fields.remove(key) {
            None | Some(Value::Null) => return Ok(vec![default; n]),
            Some(value) => value,
        };
        let wrong = |error: serde_json::Error| self.wrong(format!("`{key}`: {error}"));
        if !value.is_array() {
            return Ok(vec![serde_json::from_value(value).map_err(wrong)?; n]);
        }
        let list: Vec<T> = serde_json::from_value(value).map_err(wrong)?;
        if list.len() == n { Ok(list) } else { Err(self.wrong(format!("`{key}` must have {n} entries"))) }
    }

    /// Takes options of which only these values are implemented; absent and null are one of them.
    ///
    /// # Errors
    /// Another value.
    pub fn only(&mut self, key: &str, values: &[&str]) -> Result<()> {
        let value = match self.fields.remove(key) {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
        };
        if values.contains(&value.as_str()) {
            return Ok(());
        }
        let known = if values.is_empty() { "null".into() } else { values.join(", ") };
        Err(self.wrong(format!("`{key}`: {value} is not implemented (implemented: {known})")))
    }

    /// Takes options that change nothing in what is computed here.
    pub fn skip(&mut self, keys: &[&str]) {
        for key in keys {
            self.fields.remove(*key);
        }
    }

    /// Ends the reading: what is left must be switched off. Names that start with `_` are notes.
    ///
    /// # Errors
    /// An option that nothing here knows and that is neither null nor false.
    pub fn done(self) -> Result<()> {
        let off = |value: &Value| matches!(value, Value::Null | Value::Bool(false));
        match self.fields.iter().find(|(key, value)| !key.starts_with('_') && !off(value)) {
            None => Ok(()),
            Some((key, value)) => Err(self.wrong(format!("`{key}`: {value} is not implemented"))),
        }
    }
}

/// The same text with Python's `NaN`, `Infinity` and `-Infinity` outside strings written as null.
fn strict(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut quoted) = (text, false);
    while let Some(first) = rest.chars().next() {
        let bare = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| !quoted && rest.starts_with(word));
        let length = match (bare, first) {
            (Some(word), _) => {
                out.push_str("null");
                rest = &rest[word.len()..];
                continue;
            }
            (None, '\\') if quoted => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            (None, _) => first.len_utf8(),
        };
        quoted ^= first == '"';
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}
