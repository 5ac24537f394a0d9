//! Checking a document against the schema that the API's own description shows: ranges stand there once.

use jsonschema::{
    ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::{error::Fault, registry::unknown};

/// A request's schema, ready to check documents.
pub struct Shape {
    schema: Value,
    validator: Validator,
}

impl Shape {
    /// The shape of requests of type `T`.
    pub fn of<T: ToSchema>() -> Self {
        let mut parts = Vec::new();
        T::schemas(&mut parts);
        let parts: Map<_, _> = parts.into_iter().map(|(name, part)| (name, plain(&part))).collect();
        let mut schema = plain(&T::schema());
        schema["components"] = json!({ "schemas": parts });
        let validator = jsonschema::validator_for(&schema).expect("schemas made by utoipa are valid");
        Self { schema, validator }
    }

    /// What is wrong with the document: the first field of a wrong type, else every unknown field and every value out of
    /// its range.
    pub fn check(&self, document: &Value) -> Vec<Fault> {
        let errors: Vec<_> = self.validator.iter_errors(document).collect();
        match errors.iter().find(|error| is_type(error.kind())) {
            Some(first) => self.faults(first),
            None => errors.iter().flat_map(|error| self.faults(error)).collect(),
        }
    }

    fn faults(&self, error: &ValidationError<'_>) -> Vec<Fault> {
        let pointer = error.instance_path().to_string();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let known = self.known(&pointer);
                let known: Vec<_> = known.iter().map(String::as_str).collect();
                let at = |name: &String| format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                unexpected.iter().map(|name| Fault::new(at(name), unknown("field", name, &known))).collect()
            }
            kind => vec![Fault::new(pointer, message(kind).unwrap_or_else(|| error.masked().to_string()))],
        }
    }

    /// The fields that the object at `pointer` may have.
    fn known(&self, pointer: &str) -> Vec<String> {
        let steps = pointer.split('/').skip(1);
        let place = steps.fold(&self.schema, |schema, step| self.follow(&schema["properties"][step]));
        place["properties"].as_object().into_iter().flat_map(Map::keys).cloned().collect()
    }

    fn follow<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let target = schema["$ref"].as_str().and_then(|target| self.schema.pointer(target.trim_start_matches('#')));
        target.unwrap_or(schema)
    }
}

fn is_type(kind: &ValidationErrorKind) -> bool {
    use ValidationErrorKind::{AnyOf, OneOfNotValid, Required, Type};
    matches!(kind, Type { .. } | Required { .. } | AnyOf { .. } | OneOfNotValid { .. })
}

/// Our words for the errors that requests meet; they never repeat what was sent, which may be long.
fn message(kind: &ValidationErrorKind) -> Option<String> {
    use ValidationErrorKind::{Enum, MaxProperties, Maximum, Minimum, Type};
    Some(match kind {
        Type { kind } => format!("must be of type {}", type_name(kind)),
        Maximum { limit } => format!("must be at most {limit}"),
        Minimum { limit } => format!("must be at least {limit}"),
        MaxProperties { limit } => format!("must have at most {limit} entries"),
        Enum { options } => format!("must be one of {options}"),
        _ => return None,
    })
}

/// The type that a field must have; `null` goes without saying, since it means that the field was left out.
fn type_name(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => one.to_string(),
        TypeKind::Multiple(set) => {
            let names: Vec<_> = set.iter().map(|one| one.to_string()).filter(|name| name != "null").collect();
            names.join(" or ")
        }
    }
}

/// The schema as JSON.
fn plain(schema: &impl serde::Serialize) -> Value {
    serde_json::to_value(schema).expect("a schema is JSON")
}
