//! The text that AUTOMATIC1111's tools write into pictures, read back.

use serde_json::{Map, Value, json};

use crate::http::form::scalar;

/// Entries from which on a line counts as one of settings.
const SETTINGS: usize = 3;

/// The keys of a text under the names that its tools show: `Prompt`, `Negative prompt`, and those of the last line, `Size` as
/// `Size-1` and `Size-2`.
pub fn parameters(text: &str) -> Map<String, Value> {
    let (words, settings) = split(text);
    let (prompt, negative) = prompts(words);
    let mut found = Map::from_iter([("Prompt".into(), prompt.into()), ("Negative prompt".into(), negative.into())]);
    for (name, value) in settings {
        match value.split_once('x').filter(|(w, h)| [w, h].iter().all(|side| side.parse::<u32>().is_ok())) {
            Some((width, height)) => {
                found.insert(format!("{name}-1"), width.into());
                found.insert(format!("{name}-2"), height.into());
            }
            None => drop(found.insert(name, value.into())),
        }
    }
    found
}

/// The fields of a request that a text speaks of.
pub fn fields(text: &str) -> Map<String, Value> {
    const NAMES: [(&str, &str); 17] = [
        ("Steps", "steps"),
        ("Sampler", "sampler_name"),
        ("Schedule type", "scheduler"),
        ("CFG scale", "cfg_scale"),
        ("Seed", "seed"),
        ("Size-1", "width"),
        ("Size-2", "height"),
        ("Denoising strength", "denoising_strength"),
        ("Variation seed", "subseed"),
        ("Variation seed strength", "subseed_strength"),
        ("Eta", "eta"),
        ("Sigma churn", "s_churn"),
        ("Sigma tmin", "s_tmin"),
        ("Sigma tmax", "s_tmax"),
        ("Sigma noise", "s_noise"),
        ("Prompt", "prompt"),
        ("Negative prompt", "negative_prompt"),
    ];
    let found = parameters(text);
    let value = |name: &str, text: &str| if name.ends_with("rompt") { json!(text) } else { scalar(text) };
    let field = |(theirs, name): (&str, &str)| Some((name.to_owned(), value(theirs, found.get(theirs)?.as_str()?)));
    NAMES.into_iter().filter_map(field).collect()
}

/// The lines of the prompts, and the settings of the last line where it has some: whatever lines a prompt holds, the last one
/// counts.
fn split(text: &str) -> (&str, Vec<(String, String)>) {
    let text = text.trim();
    let (words, last) = text.rsplit_once('\n').unwrap_or(("", text));
    let settings = settings(last);
    if settings.len() < SETTINGS { (text, Vec::new()) } else { (words, settings) }
}

/// Prompt and negative prompt, which begins at the last line that says so: what a prompt says of another is its own.
fn prompts(words: &str) -> (String, String) {
    const NEGATIVE: &str = "Negative prompt:";
    let lines: Vec<&str> = words.split('\n').collect();
    match lines.iter().rposition(|line| line.starts_with(NEGATIVE)) {
        None => (words.trim().to_owned(), String::new()),
        Some(at) => {
            let negative = lines[at..].join("\n");
            (lines[..at].join("\n").trim().to_owned(), negative[NEGATIVE.len()..].trim().to_owned())
        }
    }
}

/// `name: value` with commas between them; values in quotes are JSON strings.
fn settings(line: &str) -> Vec<(String, String)> {
    let (mut rest, mut found) = (line.trim(), Vec::new());
    while let Some((name, behind)) = rest.split_once(':') {
        let behind = behind.trim_start();
        let (value, next) = value(behind);
        found.push((name.trim().to_owned(), value));
        rest = next.trim_start_matches([',', ' ']);
    }
    found
}

fn value(text: &str) -> (String, &str) {
    let mut quoted = serde_json::Deserializer::from_str(text).into_iter::<String>();
    if let (true, Some(Ok(value))) = (text.starts_with('"'), quoted.next()) {
        let rest = &text[quoted.byte_offset()..];
        return (value, rest);
    }
    let end = text.find(',').unwrap_or(text.len());
    (text[..end].trim().to_owned(), &text[end..])
}
