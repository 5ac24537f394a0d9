use clap::Args;
use serde_json::{Map, Value};

use crate::{
    edit::EDIT_METHODS,
    guidance::GUIDANCES,
    registry::Entry,
    sampler::{SAMPLERS, Sampler},
    schedule::SCHEDULES,
    wrapper::{WRAPPERS, carried},
};

/// Print every sampler, wrapper, schedule, guidance and editing method with its options and source, as in docs/methods.md.
#[derive(Debug, Args)]
pub struct Arguments {}

impl Arguments {
    /// Prints a table for each registry, in Markdown.
    pub fn run(self) -> anyhow::Result<()> {
        let samplers = SAMPLERS.iter().map(|sampler| row(&sampler.entry, &solver_cells(sampler)));
        let wrappers = WRAPPERS.iter().map(|wrapper| row(&wrapper.entry, ""));
        let schedules = SCHEDULES.iter().map(|schedule| row(&schedule.entry, ""));
        let guidances = GUIDANCES.iter().map(|guidance| row(&guidance.entry, ""));
        let edits = EDIT_METHODS.iter().map(|method| row(&method.entry, ""));
        let tables = [
            table("Samplers", &["order", "evaluations", "noise", "carries"], &samplers.collect::<Vec<_>>()),
            table("Wrappers", &[], &wrappers.collect::<Vec<_>>()),
            table("Schedules", &[], &schedules.collect::<Vec<_>>()),
            table("Guidances", &[], &guidances.collect::<Vec<_>>()),
            table("Editing methods", &[], &edits.collect::<Vec<_>>()),
        ];
        super::print(&format!("{HEAD}{}", tables.join("\n")))
    }
}

fn table(title: &str, more: &[&str], rows: &[String]) -> String {
    let columns = [&["name", ""], more, &["options", "source"]].concat();
    let (head, rule) = (columns.join(" | "), "---|".repeat(columns.len()));
    format!("\n## {title}\n\n| {head} |\n|{rule}\n{}\n", rows.join("\n"))
}

const HEAD: &str = "\
# Methods

Made by `make methods` from the registries. *Order*: how fast the error falls with the steps, as published / with the start
and the end that requests have; both are tested on a model whose exact answer is known. *Evaluations*: of the network for one
picture, by the steps N. *Noise*: whether fresh noise is drawn after the start, with the default options. Options are shown
with their defaults; `GET /v1/samplers`, `/v1/wrappers`, `/v1/schedules`, `/v1/guidances` and `/v1/edit-methods` have
the JSON Schema of each.
*Carries*: the wrappers that may go around a sampler with its default options, in the list `wrap` of its object.
";

fn row<T: ?Sized + 'static>(entry: &Entry<T>, cells: &str) -> String {
    format!("| `{}` | {} |{cells} {} | {} |", entry.name, entry.title, options(entry), entry.paper)
}

fn solver_cells(sampler: &Sampler) -> String {
    let order = sampler.order.map_or("-".into(), |order| format!("{} / {}", order.formal, order.in_practice));
    let solver = sampler.entry.read(Map::new()).expect("default options are valid");
    let (noise, all) = (if solver.stochastic() { "yes" } else { "no" }, solver.carries().len() == 3);
    let carries = if all { "all".into() } else { carried(solver.carries()).join(", ") };
    format!(" {order} | {} | {noise} | {carries} |", sampler.evaluations)
}

fn options<T: ?Sized + 'static>(entry: &Entry<T>) -> String {
    let schema = entry.schema();
    let fields = schema["properties"].as_object().into_iter().flatten();
    let written: Vec<String> = fields.map(|(name, field)| option(name, &field["default"])).collect();
    written.join(", ")
}

fn option(name: &str, value: &Value) -> String {
    if value.is_null() { format!("`{name}`") } else { format!("`{name}` {value}") }
}
