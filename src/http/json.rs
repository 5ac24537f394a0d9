//! Reading a JSON body strictly: what serde_json lets pass in silence is a fault here.
//!
//! A duplicated key, a NUL character, a number that is not finite in single precision and a flood of values are refused,
//! each with the JSON pointer of its place. Integral numbers become integers however they were written (`4.0`), so that
//! the types behind need to know one form only.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::{
    error::{Code, Fault},
    http::error::{Problem, Result},
};

/// Values in one document at most; the largest honest request has a few thousand.
const MOST_VALUES: usize = 100_000;

/// Faults that are listed at most.
const MOST_FAULTS: usize = 100;

/// The document in `bytes`.
///
/// # Errors
/// 400 where it is not JSON, 422 with every other fault found.
pub fn parse(bytes: &[u8]) -> Result<Value> {
    let reading = Reading::default();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let node = Node { reading: &reading, place: Place { parent: None, step: Step::Root } };
    let read = node.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    match (read, reading.faults.into_inner()) {
        (Ok(value), faults) if faults.is_empty() => Ok(value),
        (Ok(_), faults) => Err(Problem::invalid(faults)),
        (Err(error), _) => Err(refuse(&error, reading.stuck.into_inner())),
    }
}

/// serde_json ends at a number beyond f64 and at our own limit, though neither is an error of syntax.
fn refuse(error: &serde_json::Error, stuck: Option<String>) -> Problem {
    let text = error.to_string();
    let at = stuck.unwrap_or_default();
    if text.starts_with("number out of range") {
        Problem::invalid(vec![Fault::new(at, NOT_FINITE)])
    } else if error.is_data() {
        Problem::invalid(vec![Fault::new(at, format!("the document has more than {MOST_VALUES} values"))])
    } else {
        Problem::new(Code::InvalidJson, text)
    }
}

const NOT_FINITE: &str = "must be a number that is finite in single precision";

#[derive(Default)]
struct Reading {
    faults: RefCell<Vec<Fault>>,
    values: Cell<usize>,
    stuck: RefCell<Option<String>>,
}

impl Reading {
    fn fault(&self, place: &Place<'_>, message: impl Into<String>) {
        let mut faults = self.faults.borrow_mut();
        if faults.len() < MOST_FAULTS {
            faults.push(Fault::new(place.pointer(), message));
        }
    }

    fn text(&self, place: &Place<'_>, text: &str) {
        if text.contains('\0') {
            self.fault(place, "must not contain the character U+0000");
        }
    }

    /// Notes where the innermost value was that could not be read.
    fn stuck(&self, place: &Place<'_>) {
        self.stuck.borrow_mut().get_or_insert_with(|| place.pointer());
    }
}

/// A place in the document, kept on the stack: a pointer is only spelled out where there is a fault.
#[derive(Clone, Copy)]
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl Place<'_> {
    fn pointer(&self) -> String {
        let above = self.parent.map(Place::pointer).unwrap_or_default();
        match self.step {
            Step::Root => above,
            Step::Key(key) => format!("{above}/{}", key.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => format!("{above}/{index}"),
        }
    }
}

struct Node<'a> {
    reading: &'a Reading,
    place: Place<'a>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let values = self.reading.values.get() + 1;
        self.reading.values.set(values);
        if values > MOST_VALUES {
            return Err(D::Error::custom("too many values"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range is checked, and f32's infinity is what is looked for"
    )]
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if !(value as f32).is_finite() {
            self.reading.fault(&self.place, NOT_FINITE);
        }
        let integral = value.fract() == 0.0 && value.abs() <= EXACT;
        Ok(if integral { (value as i64).into() } else { value.into() })
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        self.reading.text(&self.place, value);
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let place = Place { parent: Some(&self.place), step: Step::Index(items.len()) };
            let node = Node { reading: self.reading, place };
            match seq.next_element_seed(node).inspect_err(|_| self.reading.stuck(&place))? {
                Some(item) => items.push(item),
                None => return Ok(items.into()),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let place = Place { parent: Some(&self.place), step: Step::Key(&key) };
            self.reading.text(&place, &key);
            if fields.contains_key(&key) {
                self.reading.fault(&place, format!("the key `{key}` is given more than once"));
            }
            let node = Node { reading: self.reading, place };
            let value = map.next_value_seed(node).inspect_err(|_| self.reading.stuck(&place))?;
            fields.insert(key, value);
        }
        Ok(fields.into())
    }
}
