//! What holds for every line of every registry.

use darkroom::{edit::EDIT_METHODS, guidance::GUIDANCES, sampler::SAMPLERS, schedule::SCHEDULES};
use serde_json::Value;

/// Registry, name, title, paper and schema of every entry.
fn entries() -> Vec<(&'static str, &'static str, &'static str, &'static str, Value)> {
    let mut all = Vec::new();
    all.extend(SAMPLERS.iter().map(|s| ("samplers", s.entry.name, s.entry.title, s.entry.paper, s.entry.schema())));
    all.extend(SCHEDULES.iter().map(|s| ("schedules", s.entry.name, s.entry.title, s.entry.paper, s.entry.schema())));
    all.extend(GUIDANCES.iter().map(|g| ("guidances", g.entry.name, g.entry.title, g.entry.paper, g.entry.schema())));
    all.extend(EDIT_METHODS.iter().map(|m| ("edit", m.entry.name, m.entry.title, m.entry.paper, m.entry.schema())));
    all
}

#[test]
fn names_are_unique_and_fit_for_the_wire() {
    let entries = entries();
    for (registry, name, ..) in &entries {
        let same = entries.iter().filter(|other| (other.0, other.1) == (*registry, *name)).count();
        assert_eq!(same, 1, "{registry}/{name} is there {same} times");
        assert!(name.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit()), "{registry}/{name}");
    }
}

#[test]
fn every_entry_says_what_it_is_and_where_it_was_published() {
    for (registry, name, title, paper, schema) in entries() {
        assert!(title.len() >= 3, "{registry}/{name} has no title");
        assert!(paper.contains(char::is_numeric), "{registry}/{name}: `{paper}` names no year");
        assert!(
            schema["description"].as_str().is_some_and(|text| text.len() > 20),
            "{registry}/{name} has no doc comment"
        );
    }
}

#[test]
fn every_option_says_what_it_does_and_what_it_is_by_default() {
    for (registry, name, .., schema) in entries() {
        let Some(fields) = schema["properties"].as_object() else { continue };
        for (field, schema) in fields {
            let at = format!("{registry}/{name}.{field}");
            assert!(schema["description"].as_str().is_some_and(|text| text.len() > 5), "{at} has no doc comment");
            assert!(schema.get("default").is_some(), "{at} has no default");
        }
    }
}
