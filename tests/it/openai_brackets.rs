//! Names of form parts that say a place in a document.

use darkroom::http::openai::brackets::{path, put};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The document of these parts, all under one field.
fn document(parts: &[(&str, i32)]) -> Value {
    let mut place = Value::Null;
    for (name, value) in parts {
        let (_, steps) = path(name).unwrap();
        assert!(put(&mut place, &steps, &json!(value)), "{name} has no room");
    }
    place
}

#[test]
fn brackets_lead_to_places() {
    assert_eq!(document(&[("a", 1)]), json!(1));
    assert_eq!(document(&[("a[b]", 1), ("a[c][d]", 2)]), json!({"b": 1, "c": {"d": 2}}));
    assert_eq!(document(&[("a[]", 1), ("a[]", 2)]), json!([1, 2]));
    assert_eq!(document(&[("a[][b]", 1), ("a[][c]", 2), ("a[][b]", 3)]), json!([{"b": 1, "c": 2}, {"b": 3}]));
    assert_eq!(document(&[("a[][b][]", 1), ("a[][b][]", 2), ("a[][c]", 3)]), json!([{"b": [1, 2], "c": 3}]));
}

#[test]
fn a_place_is_taken_once_and_has_one_form() {
    for (first, second) in
        [("a", "a"), ("a[b]", "a[b]"), ("a[b]", "a[]"), ("a[]", "a[b]"), ("a", "a[b]"), ("a[b]", "a[b][c]")]
    {
        let (mut place, one) = (Value::Null, json!(1));
        assert!(put(&mut place, &path(first).unwrap().1, &one));
        let before = place.clone();
        assert!(!put(&mut place, &path(second).unwrap().1, &one), "{first} {second}");
        assert_eq!(place, before);
    }
}

#[test]
fn what_does_not_read_so_is_a_name() {
    for name in ["", "a", "[a]", "a[", "a]", "a[b", "a[b]c", "a[b]]", "a[[b]"] {
        assert_eq!(path(name).unwrap(), (name, vec![]), "{name}");
    }
    assert_eq!(path("image[]").unwrap().0, "image");
    assert!(path(&format!("a{}", "[b]".repeat(8))).is_ok());
    assert!(path(&format!("a{}", "[b]".repeat(9))).is_err());
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_breaks(names in proptest::collection::vec("a(\\[[ab]?\\]){0,4}|[\\[\\]ab]{0,9}", 0..20)) {
        let (mut place, mut put_in) = (Value::Null, 0);
        for name in &names {
            put_in += usize::from(put(&mut place, &path(name).unwrap().1, &json!("x")));
        }
        prop_assert_eq!(place.to_string().matches("\"x\"").count(), put_in);
    }
}
