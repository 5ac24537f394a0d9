//! The error by network evaluations, both logarithmic: a line for each sampler, named at its end.

use svg::{
    Document,
    node::element::{Circle, Group, Line, Polyline, Rectangle, Title},
};

use super::{
    axis::Axis,
    report::{Report, Run},
    style::{COLOURS, FAINT, RULE, about, count, document, percent, place, text, width_of},
};

const HEIGHT: f64 = 480.0;
/// Width of the part with the lines.
const LINES: f64 = 560.0;
const LEFT: f64 = 72.0;
const TOP: f64 = 72.0;
const BOTTOM: f64 = 84.0;
/// Between two names.
const LEADING: f64 = 17.0;

/// A self-contained SVG; pointing at a point says its numbers.
pub fn plot(report: &Report) -> String {
    let curves = curves(report);
    let (across, up) = axes(report);
    let names = curves.iter().map(|curve| width_of(&curve.name, 13.0)).fold(0.0, f64::max);
    let width = (LEFT + LINES + 40.0 + names).max(2.0 * LEFT + width_of(&about(report), 12.0));
    let mut drawing = frame(document(width, HEIGHT), report, &across, &up);
    let ends: Vec<f64> = curves.iter().filter_map(|curve| curve.runs.last()).map(|run| up.at(error(run))).collect();
    for ((index, curve), name) in curves.iter().enumerate().zip(apart(&ends, TOP + 8.0, HEIGHT - BOTTOM)) {
        drawing = drawing.add(line(curve, Pen::of(index), (&across, &up), name));
    }
    drawing.to_string()
}

/// How a line is drawn: once the colours are used up they come again in dashes.
#[derive(Clone, Copy)]
struct Pen {
    colour: &'static str,
    dashes: &'static str,
}

impl Pen {
    fn of(index: usize) -> Self {
        let dashes = if index < COLOURS.len() { "none" } else { "7 4" };
        Self { colour: COLOURS[index % COLOURS.len()], dashes }
    }
}

/// Runs that one line shows.
struct Curve<'a> {
    name: String,
    runs: Vec<&'a Run>,
}

/// A curve for each sampler that has errors; samplers that are the same method share one.
fn curves(report: &Report) -> Vec<Curve<'_>> {
    let mut curves: Vec<Curve> = Vec::new();
    for runs in report.runs.chunk_by(|a, b| a.sampler == b.sampler) {
        let mut runs: Vec<&Run> = runs.iter().filter(|run| shown(run)).collect();
        runs.sort_by(|a, b| a.evaluations.total_cmp(&b.evaluations));
        let Some(title) = runs.first().map(|run| run.title.clone()) else { continue };
        match curves.iter_mut().find(|curve| same(&curve.runs, &runs)) {
            Some(curve) => curve.name += &format!(" = {title}"),
            None => curves.push(Curve { name: title, runs }),
        }
    }
    curves
}

/// A logarithm needs something above 0.
fn shown(run: &Run) -> bool {
    run.error.as_ref().is_some_and(|error| error.least > 0.0 && error.greatest.is_finite()) && run.evaluations > 0.0
}

fn same(a: &[&Run], b: &[&Run]) -> bool {
    let near = |(a, b): (&&Run, &&Run)| a.evaluations == b.evaluations && (error(a) / error(b)).ln().abs() < 0.01;
    a.len() == b.len() && a.iter().zip(b).all(near)
}

fn error(run: &Run) -> f64 {
    run.error.as_ref().map_or(f64::NAN, |error| error.mean)
}

fn axes(report: &Report) -> (Axis, Axis) {
    let runs = || report.runs.iter().filter(|run| shown(run));
    let errors = runs().filter_map(|run| run.error.as_ref()).flat_map(|error| [error.least, error.greatest]);
    let across = Axis::new(runs().map(|run| run.evaluations), (LEFT, LEFT + LINES));
    (across, Axis::new(errors, (HEIGHT - BOTTOM, TOP)))
}

fn frame(drawing: Document, report: &Report, across: &Axis, up: &Axis) -> Document {
    let (right, floor) = (LEFT + LINES, HEIGHT - BOTTOM);
    let mut drawing = drawing
        .add(text("Distance from the converged picture", (20.0, 34.0), 17.0).set("font-weight", 600))
        .add(text(about(report), (20.0, 54.0), 12.0).set("fill", FAINT));
    for tick in across.ticks() {
        let x = across.at(tick);
        drawing = drawing
            .add(rule((x, TOP), (x, floor)))
            .add(text(count(tick), (x, floor + 18.0), 12.0).set("text-anchor", "middle").set("fill", FAINT));
    }
    for tick in up.ticks() {
        let y = up.at(tick);
        let label = text(format!("{} %", round(tick * 100.0)), (LEFT - 8.0, y + 4.0), 12.0);
        drawing = drawing.add(rule((LEFT, y), (right, y))).add(label.set("text-anchor", "end").set("fill", FAINT));
    }
    let middle = (LEFT + right) / 2.0;
    drawing = limit(drawing, report.reference.moved, up);
    drawing
        .add(text("network evaluations", (middle, floor + 38.0), 13.0).set("text-anchor", "middle"))
        .add(text(note(report), (20.0, HEIGHT - 18.0), 11.0).set("fill", FAINT))
}

/// Below how far the reference itself moved, nothing can be told.
fn limit(drawing: Document, moved: f64, up: &Axis) -> Document {
    let (y, floor) = (up.at(moved).max(TOP), HEIGHT - BOTTOM);
    if moved <= 0.0 || y >= floor {
        return drawing;
    }
    let band = Rectangle::new().set("x", LEFT).set("y", place(y)).set("width", LINES).set("height", place(floor - y));
    let words = text("not told apart by the reference", (LEFT + 8.0, floor - 6.0), 11.0).set("fill", FAINT);
    drawing.add(band.set("fill", RULE).set("opacity", 0.6)).add(words)
}

fn note(report: &Report) -> String {
    let reference = &report.reference;
    let mut noisy: Vec<&str> = report.runs.iter().filter(|run| run.stochastic).map(|run| run.title.as_str()).collect();
    noisy.dedup();
    let mut note = format!(
        "Converged: {}, {} evaluations, sure to {}.",
        reference.title,
        count(reference.evaluations),
        percent(reference.moved)
    );
    if report.seeds > 1 {
        note += " Bars: least and greatest of the seeds.";
    }
    if !noisy.is_empty() {
        note += &format!(" Without an error, for they draw noise: {}.", noisy.join("; "));
    }
    note
}

fn line(curve: &Curve, Pen { colour, dashes }: Pen, (across, up): (&Axis, &Axis), name: f64) -> Group {
    let at = |run: &Run| (place(across.at(run.evaluations)), place(up.at(error(run))));
    let points: Vec<(f64, f64)> = curve.runs.iter().map(|run| at(run)).collect();
    let path = points.iter().map(|(x, y)| format!("{x},{y}")).collect::<Vec<_>>().join(" ");
    let stroke = |width: f64| Group::new().set("stroke", colour).set("stroke-width", width).set("fill", "none");
    let mut group = Group::new().add(
        stroke(2.0)
            .set("stroke-dasharray", dashes)
            .add(Polyline::new().set("points", path).set("stroke-linejoin", "round")),
    );
    for (run, point) in curve.runs.iter().zip(&points) {
        if let Some(error) = run.error.as_ref().filter(|error| error.each.len() > 1) {
            let bar = [error.least, error.greatest].map(|end| (point.0, place(up.at(end))));
            group = group.add(stroke(1.5).set("opacity", 0.45).add(segment(bar[0], bar[1])));
        }
        group = group.add(dot(run, *point, colour));
    }
    let Some(end) = points.last() else { return group };
    let x = LEFT + LINES + 24.0;
    let lead = segment((end.0 + 6.0, end.1), (x - 4.0, name));
    group
        .add(stroke(1.0).set("opacity", 0.5).set("stroke-dasharray", "2 3").add(lead))
        .add(text(curve.name.as_str(), (x, name + 4.5), 13.0).set("fill", colour).set("font-weight", 600))
}

fn dot(run: &Run, (x, y): (f64, f64), colour: &str) -> Circle {
    let said = format!(
        "{} in {} steps: {} evaluations, {}",
        run.title,
        run.steps,
        count(run.evaluations),
        percent(error(run))
    );
    let circle = Circle::new().set("cx", x).set("cy", y).set("r", 4).set("fill", colour);
    circle.set("stroke", "#ffffff").set("stroke-width", 1.2).add(Title::new(said))
}

fn rule(from: (f64, f64), to: (f64, f64)) -> Line {
    segment(from, to).set("stroke", RULE)
}

fn segment(from: (f64, f64), to: (f64, f64)) -> Line {
    Line::new().set("x1", place(from.0)).set("y1", place(from.1)).set("x2", place(to.0)).set("y2", place(to.1))
}

/// Without the digits that binary fractions leave behind.
fn round(number: f64) -> f64 {
    (number * 1e9).round() / 1e9
}

/// The heights moved apart so that a line of text fits each, in their order, between top and bottom where that has room.
fn apart(heights: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..heights.len()).collect();
    order.sort_by(|a, b| heights[*a].total_cmp(&heights[*b]));
    let mut places = heights.to_vec();
    let mut free = top;
    for index in &order {
        places[*index] = places[*index].max(free);
        free = places[*index] + LEADING;
    }
    let mut ceiling = bottom;
    for index in order.iter().rev() {
        places[*index] = places[*index].min(ceiling);
        ceiling = places[*index] - LEADING;
    }
    places
}
