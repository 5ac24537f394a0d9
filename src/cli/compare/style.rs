//! How the drawings look, and how numbers are written.

use std::iter;

use serde_json::Value;
use svg::{
    Document,
    node::element::{Rectangle, Text},
};

use super::report::Report;

/// Text.
pub const INK: &str = "#1f2328";
/// Text of less weight.
pub const FAINT: &str = "#59636e";
/// Lines that guide the eye.
pub const RULE: &str = "#e4e7eb";
/// One for each line, told apart by people who see few colours too (Okabe and Ito 2008).
pub const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1f2328"];

/// An empty drawing on a light ground of its own, so that it reads on a dark page.
pub fn document(width: f64, height: f64) -> Document {
    let ground = Rectangle::new().set("width", width).set("height", height).set("rx", 6).set("fill", "#ffffff");
    Document::new()
        .set("viewBox", (0, 0, width, height))
        .set("width", width)
        .set("height", height)
        .set("font-family", "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif")
        .add(ground)
}

/// A line of text whose baseline starts at (x, y).
pub fn text(words: impl Into<String>, (x, y): (f64, f64), size: f64) -> Text {
    Text::new(words).set("x", place(x)).set("y", place(y)).set("font-size", size).set("fill", INK)
}

/// How wide a text is at most, in the wider of the usual typefaces: nobody here knows the reader's.
pub fn width_of(words: &str, size: f64) -> f64 {
    0.74 * size * words.chars().count() as f64
}

/// A coordinate in as many digits as can be seen.
pub fn place(coordinate: f64) -> f64 {
    (coordinate * 10.0).round() / 10.0
}

/// A share in percent with three digits that count.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = if percent > 0.0 { (2.0 - percent.log10().floor()).clamp(0.0, 6.0) as usize } else { 0 };
    format!("{percent:.digits$} %")
}

/// A count that may be a mean.
pub fn count(number: f64) -> String {
    if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.1}") }
}

/// What was drawn, in one line.
pub fn about(report: &Report) -> String {
    let request = &report.request;
    let quoted = |text: &str| (!text.is_empty()).then(|| format!("\"{text}\""));
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let guidance = match request["guidance"]["scale"].as_f64() {
        Some(scale) => format!("{} {scale}", name(&request["guidance"])),
        None => name(&request["guidance"]),
    };
    let first = &request["seed"];
    let seeds =
        if report.seeds == 1 { format!("seed {first}") } else { format!("{} seeds from {first}", report.seeds) };
    let parts = [
        quoted(request["prompt"].as_str().unwrap_or_default()),
        request["label"].as_u64().map(|label| format!("label {label}")),
        request["model"].as_str().map(|model| format!("model {model}")),
        Some(format!("guidance {guidance}")),
        Some(format!("schedule {}", name(&request["schedule"]))),
    ];
    parts.into_iter().flatten().chain(iter::once(seeds)).collect::<Vec<_>>().join(", ")
}
