//! Names of form parts that say a place in a document: `sampler[name]`, `sampler[wrap][][name]`.

use serde_json::{Value, json};

/// Brackets in one name at most.
const DEEPEST: usize = 8;

/// A step into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `[name]`
    Key(String),
    /// `[]`: the last item of a list where it still has room for what follows, else a new one.
    Item,
}

/// A part's name as a field and the steps from there on; a name that does not read so is a field as it is.
///
/// # Errors
/// More brackets than any field has.
pub fn path(name: &str) -> Result<(&str, Vec<Step>), String> {
    let Some((field, rest)) = name.split_once('[').filter(|(field, rest)| !field.is_empty() && rest.ends_with(']'))
    else {
        return Ok((name, Vec::new()));
    };
    let keys: Vec<&str> = rest[..rest.len() - 1].split("][").collect();
    if keys.iter().any(|key| key.contains(['[', ']'])) {
        return Ok((name, Vec::new()));
    }
    if keys.len() > DEEPEST {
        return Err(format!("has more than {DEEPEST} levels"));
    }
    let step = |key: &str| if key.is_empty() { Step::Item } else { Step::Key(key.into()) };
    Ok((field, keys.into_iter().map(step).collect()))
}

/// Puts a value there; false where another one is in the way.
pub fn put(place: &mut Value, steps: &[Step], value: &Value) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        let free = place.is_null();
        if free {
            place.clone_from(value);
        }
        return free;
    };
    if place.is_null() {
        *place = if *step == Step::Item { json!([]) } else { json!({}) };
    }
    match (step, place) {
        (Step::Key(key), Value::Object(fields)) => put(fields.entry(key.clone()).or_insert(Value::Null), rest, value),
        (Step::Item, Value::Array(items)) => {
            if items.last_mut().is_some_and(|last| !rest.is_empty() && put(last, rest, value)) {
                return true;
            }
            let mut item = Value::Null;
            let fits = put(&mut item, rest, value);
            items.push(item);
            fits
        }
        _ => false,
    }
}
