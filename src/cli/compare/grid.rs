//! The pictures: a row for each sampler, a column for each number of steps, and the converged one beside them.

use std::io::Cursor;

use base64::{Engine, prelude::BASE64_STANDARD};
use image::{
    ExtendedColorType, ImageEncoder, RgbImage,
    codecs::png::{CompressionType, FilterType, PngEncoder},
    imageops,
};
use svg::{
    Document,
    node::element::{Group, Image, Rectangle},
};

use super::{
    report::{Report, Run},
    style::{FAINT, RULE, about, count, document, percent, text, width_of},
};

/// Longest side of a cell's picture.
const SIDE: f64 = 96.0;
/// Pixels that a picture in the file has at most along a side.
const PIXELS: u32 = 256;
/// Between cells.
const GAP: f64 = 12.0;
/// For the lines below a picture.
const CAPTION: f64 = 34.0;
/// Around everything.
const MARGIN: f64 = 20.0;
/// Above the first row.
const HEAD: f64 = 88.0;
/// The converged picture is so much larger than a cell's.
const LARGE: f64 = 2.0;

/// A self-contained SVG with the pictures of the first seed.
///
/// # Errors
/// A picture that cannot be encoded.
pub fn grid(report: &Report) -> anyhow::Result<String> {
    let rows: Vec<&[Run]> = report.runs.chunk_by(|a, b| a.sampler == b.sampler).collect();
    let place = Place::of(report, &rows);
    let mut drawing = document(place.width, place.height)
        .add(text("Every sampler from the same noise", (MARGIN, 34.0), 17.0).set("font-weight", 600))
        .add(text(about(report), (MARGIN, 54.0), 12.0).set("fill", FAINT));
    for (column, run) in rows.first().into_iter().flat_map(|row| row.iter()).enumerate() {
        let middle = place.cell(0, column).0 + place.side.0 / 2.0;
        let steps = text(format!("{} steps", run.steps), (middle, HEAD - 8.0), 12.0);
        drawing = drawing.add(steps.set("text-anchor", "middle").set("fill", FAINT));
    }
    for (index, row) in rows.iter().enumerate() {
        drawing = name(drawing, &row[0].title, place.cell(index, 0).1 + place.side.1 / 2.0);
        for (column, run) in row.iter().enumerate() {
            drawing = cell(drawing, run, place.cell(index, column), place.side)?;
        }
    }
    Ok(converged(drawing, report, &place)?.to_string())
}

/// Where things lie.
struct Place {
    side: (f64, f64),
    left: f64,
    right: f64,
    width: f64,
    height: f64,
}

impl Place {
    fn of(report: &Report, rows: &[&[Run]]) -> Self {
        let picture = &report.reference.picture;
        let scale = SIDE / f64::from(picture.width().max(picture.height()));
        let side = (f64::from(picture.width()) * scale, f64::from(picture.height()) * scale);
        let names =
            rows.iter().flat_map(|row| lines(&row[0].title)).map(|line| width_of(line, 13.0)).fold(0.0, f64::max);
        let left = MARGIN + names + GAP / 2.0;
        let columns = rows.first().map_or(0, |row| row.len()) as f64;
        let right = left + columns * (side.0 + GAP) + GAP;
        let below = (rows.len() as f64 * (side.1 + CAPTION)).max(LARGE * side.1 + 2.0 * CAPTION);
        let width = (right + LARGE * side.0 + MARGIN).max(2.0 * MARGIN + width_of(&about(report), 12.0));
        Self { side, left, right, width, height: HEAD + below + MARGIN / 2.0 }
    }

    fn cell(&self, row: usize, column: usize) -> (f64, f64) {
        (self.left + column as f64 * (self.side.0 + GAP), HEAD + row as f64 * (self.side.1 + CAPTION))
    }
}

/// A title of many options takes a line for each.
fn lines(title: &str) -> impl Iterator<Item = &str> {
    title.split(", ")
}

fn name(mut drawing: Document, title: &str, middle: f64) -> Document {
    let first = middle + 5.0 - 8.0 * (lines(title).count() - 1) as f64;
    for (index, line) in lines(title).enumerate() {
        let words = text(line, (MARGIN, first + 16.0 * index as f64), if index == 0 { 13.0 } else { 12.0 });
        drawing = drawing.add(if index == 0 { words.set("font-weight", 600) } else { words.set("fill", FAINT) });
    }
    drawing
}

fn cell(drawing: Document, run: &Run, (x, y): (f64, f64), (width, height): (f64, f64)) -> anyhow::Result<Document> {
    let framed = match &run.picture {
        Some(picture) => drawing.add(embedded(picture, (x, y), (width, height))?),
        None => drawing.add(frame((x, y), (width, height)).set("fill", RULE)),
    };
    let error = match (&run.error, &run.failure) {
        (_, Some(_)) => "failed".to_owned(),
        (Some(error), None) => percent(error.each[0]),
        (None, None) => "draws noise".to_owned(),
    };
    let caption = format!("{} evals \u{b7} {error}", count(run.evaluations));
    let caption = text(caption, (x + width / 2.0, y + height + 14.0), 10.0);
    Ok(framed.add(caption.set("text-anchor", "middle").set("fill", FAINT)))
}

fn converged(drawing: Document, report: &Report, place: &Place) -> anyhow::Result<Document> {
    let (x, side) = (place.right, (LARGE * place.side.0, LARGE * place.side.1));
    let under = HEAD + side.1;
    let reference = &report.reference;
    let how = format!("{}, {} evals", reference.title, count(reference.evaluations));
    Ok(drawing
        .add(embedded(&reference.picture, (x, HEAD), side)?)
        .add(text("Converged solution", (x, under + 18.0), 13.0).set("font-weight", 600))
        .add(text(how, (x, under + 34.0), 11.0).set("fill", FAINT))
        .add(text("%: distance of the latents from it", (x, under + 50.0), 11.0).set("fill", FAINT)))
}

fn embedded(picture: &RgbImage, (x, y): (f64, f64), (width, height): (f64, f64)) -> anyhow::Result<Group> {
    let data = BASE64_STANDARD.encode(png(picture)?);
    let image = Image::new().set("href", format!("data:image/png;base64,{data}"));
    let image = image.set("x", x).set("y", y).set("width", width).set("height", height);
    Ok(Group::new().add(image).add(frame((x, y), (width, height)).set("fill", "none")))
}

/// Pictures are often white to their edges.
fn frame((x, y): (f64, f64), (width, height): (f64, f64)) -> Rectangle {
    Rectangle::new().set("x", x).set("y", y).set("width", width).set("height", height).set("stroke", RULE)
}

/// As small as it gets: the drawing holds many.
fn png(picture: &RgbImage) -> anyhow::Result<Vec<u8>> {
    let longest = picture.width().max(picture.height());
    let side = |pixels: u32| (pixels * PIXELS / longest).max(1);
    let picture = match longest > PIXELS {
        true => {
            &imageops::resize(picture, side(picture.width()), side(picture.height()), imageops::FilterType::Lanczos3)
        }
        false => picture,
    };
    let mut bytes = Cursor::new(Vec::new());
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::Adaptive);
    encoder.write_image(picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8)?;
    Ok(bytes.into_inner())
}
