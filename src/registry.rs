//! What every registry has in common: an entry names a thing, says where it was published, and can read its options.
//!
//! A registry is a const slice of descriptors that embed an [`Entry`]. Validation, the API's lists, the OpenAPI document,
//! the docs and the tests iterate over those slices, so a new solver, schedule or guidance is one file and one line.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use utoipa::{PartialSchema, ToSchema};

use crate::error::Fault;

/// One line of a registry. `T` is the trait object that its options become.
pub struct Entry<T: ?Sized + 'static> {
    /// The name on the wire.
    pub name: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// Where it was published: authors, year, arXiv number or venue.
    pub paper: &'static str,
    read: fn(Value) -> Result<Box<T>, Fault>,
    schema: fn() -> Value,
    complete: fn(Value) -> Result<Value, Fault>,
}

/// A type whose fields are the options of one entry.
pub trait Options: DeserializeOwned + Serialize + Default + ToSchema + 'static {}

impl<T: DeserializeOwned + Serialize + Default + ToSchema + 'static> Options for T {}

impl<T: ?Sized + 'static> Entry<T> {
    /// An entry from its parts; registries wrap this in a `const fn of::<S>` that fills in the pointers.
    pub const fn new<S: Options>(
        name: &'static str,
        title: &'static str,
        paper: &'static str,
        read: fn(Value) -> Result<Box<T>, Fault>,
    ) -> Self {
        Self { name, title, paper, read, schema: schema_of::<S>, complete: complete::<S> }
    }

    /// JSON Schema of the options, with defaults, ranges and texts.
    pub fn schema(&self) -> Value {
        (self.schema)()
    }

    /// Reads `{"name": .., options}` (without `name`) into the thing itself.
    ///
    /// # Errors
    /// An unknown option (with the nearest known one), a wrong type, or a number out of its range.
    pub fn read(&self, options: Map<String, Value>) -> Result<Box<T>, Fault> {
        let options = Value::Object(options);
        check(&options, &self.schema())?;
        (self.read)(options)
    }

    /// The options with every default filled in, as `{"name": .., options}`.
    ///
    /// # Errors
    /// As [`Entry::read`].
    pub fn canonical(&self, options: &Map<String, Value>) -> Result<Value, Fault> {
        drop(self.read(options.clone())?);
        let mut full = Map::from_iter([("name".to_owned(), Value::from(self.name))]);
        let complete = (self.complete)(Value::Object(options.clone()))?;
        full.extend(complete.as_object().cloned().unwrap_or_default());
        Ok(Value::Object(full))
    }
}

/// Reads options of type `S`; type errors come back with the pointer of the field.
///
/// # Errors
/// The first field that does not fit.
pub fn read_options<S: Options>(options: Value) -> Result<S, Fault> {
    serde_path_to_error::deserialize(options).map_err(|error| {
        let path = error.path().to_string();
        let pointer = if path == "." { String::new() } else { format!("/{}", path.replace('.', "/")) };
        Fault::new(pointer, error.into_inner().to_string())
    })
}

/// Splits `"name"` or `{"name": .., options}` and finds the entry of that name.
///
/// # Errors
/// Neither a string nor an object with a string `name`, or a name that is not in the registry.
pub fn find<'a, D, T: ?Sized>(
    value: &Value,
    registry: &'a [D],
    entry: fn(&D) -> &Entry<T>,
) -> Result<(&'a D, Map<String, Value>), Fault> {
    let (name, options) = split(value)?;
    match registry.iter().find(|item| entry(item).name == name) {
        Some(item) => Ok((item, options)),
        None => {
            let names: Vec<_> = registry.iter().map(|item| entry(item).name).collect();
            let at = if value.is_string() { "" } else { "/name" };
            Err(Fault::new(at, unknown("name", &name, &names)))
        }
    }
}

fn split(value: &Value) -> Result<(String, Map<String, Value>), Fault> {
    match value {
        Value::String(name) => Ok((name.clone(), Map::new())),
        Value::Object(fields) => {
            let mut options = fields.clone();
            match options.remove("name") {
                Some(Value::String(name)) => Ok((name, options)),
                Some(_) => Err(Fault::new("/name", "must be a string")),
                None => Err(Fault::new("/name", "is missing")),
            }
        }
        _ => Err(Fault::new("", "must be a name or an object with a `name`")),
    }
}

/// `unknown {what} "{given}"`, with the nearest of the known names and then all of them.
pub fn unknown(what: &str, given: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|name| (strsim::jaro_winkler(name, given), name))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(|| ".".into(), |(_, name)| format!("; did you mean `{name}`?"));
    format!("unknown {what} `{given}`{near} Known: {}", known.join(", "))
}

/// Checks a value against a schema made here; the fault's pointer is the first offending field.
///
/// # Errors
/// Unknown fields (with the nearest known one), wrong types, numbers out of range.
pub fn check(value: &Value, schema: &Value) -> Result<(), Fault> {
    let fields = schema["properties"].as_object();
    if let (Some(given), Some(fields)) = (value.as_object(), fields) {
        let known: Vec<_> = fields.keys().map(String::as_str).collect();
        if let Some(name) = given.keys().find(|name| !fields.contains_key(*name)) {
            return Err(Fault::new(format!("/{name}"), unknown("option", name, &known)));
        }
    }
    let validator = jsonschema::validator_for(schema).expect("registry schemas are valid");
    match validator.iter_errors(value).next() {
        None => Ok(()),
        Some(error) => Err(Fault::new(error.instance_path().to_string(), error.to_string())),
    }
}

fn schema_of<S: Options>() -> Value {
    let mut schema = serde_json::to_value(<S as PartialSchema>::schema()).expect("a schema is JSON");
    if let Some(object) = schema.as_object_mut() {
        object.insert("additionalProperties".into(), false.into());
        fill_defaults(object, &defaults_of::<S>());
    }
    schema
}

/// An inlined enum comes as `allOf` of itself and an object that holds the field's own text; no value is both. At any depth.
fn without_wrapping(field: &mut Value) {
    match field {
        Value::Object(fields) => fields.values_mut().for_each(without_wrapping),
        Value::Array(items) => items.iter_mut().for_each(without_wrapping),
        _ => return,
    }
    let Some([inner, outer]) = field.get("allOf").and_then(Value::as_array).map(Vec::as_slice) else { return };
    let (mut whole, outer) = (inner.clone(), outer.clone());
    if let (Some(whole), Value::Object(mut outer)) = (whole.as_object_mut(), outer) {
        outer.remove("type");
        whole.extend(outer);
    }
    *field = whole;
}

fn fill_defaults(schema: &mut Map<String, Value>, defaults: &Value) {
    let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, field) in fields {
        without_wrapping(field);
        if let (Some(field), Some(default)) = (field.as_object_mut(), defaults.get(name)) {
            field.insert("default".into(), default.clone());
        }
    }
}

/// The options as their type writes them: with defaults, and each number in one form.
fn complete<S: Options>(options: Value) -> Result<Value, Fault> {
    Ok(serde_json::to_value(read_options::<S>(options)?).expect("options are JSON"))
}

fn defaults_of<S: Options>() -> Value {
    serde_json::to_value(S::default()).expect("options are JSON")
}
