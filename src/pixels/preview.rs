//! A picture of latents that needs no network: a linear map from channels to colours.

use image::{
    ImageFormat, RgbImage,
    imageops::{FilterType, resize},
};

use super::encode::{encode, webp};
use crate::{
    error::{Failure, Result},
    job::Output,
};

/// Longest side of a preview in pixels.
const SIDE: u32 = 256;

/// WebP quality of previews: they live for a moment.
const QUALITY: u8 = 75;

/// A WebP preview of clean latents `[C, h, w]`, row by row, at the picture's size but at most 256 pixels along a side.
///
/// `map` is as in [`Card::preview`](crate::model::Card::preview): a row of red, green, blue for each channel, then the bias,
/// to 0..1. Without one (or with one of another size) the mean of the channels is shown as grey, -1 black and 1 white.
///
/// # Errors
/// `latents` that do not have that shape.
pub fn preview(latents: &[f32], shape: [i64; 3], map: Option<&[[f32; 3]]>, pixels: (u32, u32)) -> Result<Vec<u8>> {
    let [channels, h, w] = shape.map(|size| usize::try_from(size).unwrap_or(0));
    if latents.is_empty() || latents.len() != channels * h * w {
        return Err(Failure::Internal(format!("{} numbers are not latents of shape {shape:?}", latents.len())));
    }
    let map = map.filter(|map| map.len() == channels + 1);
    let colours = (0..h * w).flat_map(|cell| colour(latents.iter().skip(cell).step_by(h * w), map));
    let bytes = colours.map(|part| (part.clamp(0.0, 1.0) * 255.0).round() as u8).collect();
    let small = RgbImage::from_raw(w as u32, h as u32, bytes).expect("three bytes for each cell");
    let (width, height) = fit(pixels);
    let large = resize(&small, width, height, FilterType::Triangle);
    webp(large.as_raw(), width, height, QUALITY)
}

/// A preview at the size of its picture and in the wanted format.
///
/// # Errors
/// Bytes that [`preview`] did not make, or what [`encode`] refuses.
pub fn enlarged(bytes: &[u8], (width, height): (u32, u32), output: Output) -> Result<Vec<u8>> {
    let small = image::load_from_memory_with_format(bytes, ImageFormat::WebP);
    let small = small.map_err(|error| Failure::Internal(error.to_string()))?.into_rgb8();
    let large = resize(&small, width, height, FilterType::Triangle);
    encode(large.as_raw(), width, height, output, None)
}

fn colour<'a>(channels: impl ExactSizeIterator<Item = &'a f32>, map: Option<&[[f32; 3]]>) -> [f32; 3] {
    match map {
        Some(map) => {
            let bias = map.last().copied().unwrap_or_default();
            channels.zip(map).fold(bias, |sum, (value, row)| std::array::from_fn(|part| sum[part] + value * row[part]))
        }
        None => {
            let count = channels.len() as f32;
            [(channels.sum::<f32>() / count + 1.0) / 2.0; 3]
        }
    }
}

/// The largest size of the same shape whose sides are at most [`SIDE`].
fn fit((width, height): (u32, u32)) -> (u32, u32) {
    let longest = width.max(height).max(1);
    let side = |pixels: u32| if longest > SIDE { (pixels * SIDE / longest).max(1) } else { pixels.max(1) };
    (side(width), side(height))
}
