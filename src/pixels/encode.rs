//! RGB to PNG, JPEG or WebP, and from one to another.

use image::{ImageFormat, ImageReader, Limits, RgbImage, imageops::FilterType};
use png::{BitDepth, ColorType, Compression, Encoder};

use super::{
    container::webp_with_exif,
    exif,
    fit::scaled,
    metadata::{PictureText, chunk},
};
use crate::{
    error::{Failure, Result},
    job::{Format, Output},
};

/// Pixels that [`ours`] decodes at most along a side; ours are far smaller, and libwebp stops there.
const SIDE: u32 = 16383;

/// WebP quality of thumbnails.
const THUMBNAIL_QUALITY: u8 = 80;

/// Writes `rgb`, `width * height * 3` bytes row by row, in the wanted format. A PNG carries `text`, a JPEG or
/// WebP its lines in their EXIF; the bytes depend on nothing but the arguments.
///
/// # Errors
/// `rgb` of another length, a side above the format's limit, or `safetensors`, which is no picture.
pub fn encode(rgb: &[u8], width: u32, height: u32, output: Output, text: Option<&PictureText>) -> Result<Vec<u8>> {
    if rgb.len() as u64 != u64::from(width) * u64::from(height) * 3 || rgb.is_empty() {
        return Err(Failure::Internal(format!("{} bytes are not {width}x{height} RGB pixels", rgb.len())));
    }
    match output.format {
        Format::Png => png(rgb, width, height, text),
        Format::Jpeg => jpeg(rgb, (width, height), output.quality, comment(text)),
        Format::Webp => {
            let bytes = webp(rgb, width, height, output.quality)?;
            Ok(match comment(text) {
                Some(exif) => webp_with_exif(&bytes, (width, height), &exif),
                None => bytes,
            })
        }
        Format::Safetensors => Err(Failure::Internal("latents are not encoded as a picture".into())),
    }
}

/// The same picture in another format, for a client that does not take what was stored; text is not carried over.
///
/// # Errors
/// Bytes that are no picture of `from`, or what [`encode`] refuses.
pub fn transcode(bytes: &[u8], from: Format, to: Output) -> Result<Vec<u8>> {
    let rgb = ours(bytes, from)?;
    encode(rgb.as_raw(), rgb.width(), rgb.height(), to, None)
}

/// The same picture as a WebP at most `width` pixels wide, in its own shape.
///
/// # Errors
/// Bytes that are no picture of `from`.
pub fn thumbnail(bytes: &[u8], from: Format, width: u32) -> Result<Vec<u8>> {
    let rgb = ours(bytes, from)?;
    let width = width.min(rgb.width());
    let height = (u64::from(rgb.height()) * u64::from(width)).div_ceil(u64::from(rgb.width()).max(1));
    let small = scaled(&rgb, (width, u32::try_from(height).unwrap_or(SIDE).clamp(1, SIDE)), FilterType::Lanczos3);
    webp(small.as_raw(), small.width(), small.height(), THUMBNAIL_QUALITY)
}

/// The pixels of a picture that we made.
fn ours(bytes: &[u8], from: Format) -> Result<RgbImage> {
    let format = match from {
        Format::Png => ImageFormat::Png,
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Webp => ImageFormat::WebP,
        Format::Safetensors => return Err(Failure::Internal("latents are not decoded as a picture".into())),
    };
    let mut reader = ImageReader::with_format(std::io::Cursor::new(bytes), format);
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(SIDE), Some(SIDE));
    reader.limits(limits);
    Ok(reader.decode().map_err(internal)?.into_rgb8())
}

fn png(rgb: &[u8], width: u32, height: u32, text: Option<&PictureText>) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(rgb.len() / 2 + 4096);
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    let mut writer = encoder.write_header().map_err(internal)?;
    for (keyword, text) in text.into_iter().flat_map(PictureText::entries) {
        let (kind, data) = chunk(keyword, text);
        writer.write_chunk(kind, &data).map_err(internal)?;
    }
    writer.write_image_data(rgb).map_err(internal)?;
    writer.finish().map_err(internal)?;
    Ok(bytes)
}

/// The lines of a text as EXIF.
fn comment(text: Option<&PictureText>) -> Option<Vec<u8>> {
    exif::write(&text?.parameters)
}

fn jpeg(rgb: &[u8], (width, height): (u32, u32), quality: u8, exif: Option<Vec<u8>>) -> Result<Vec<u8>> {
    let side =
        |pixels: u32| u16::try_from(pixels).map_err(|_| Failure::Internal(format!("{pixels} is too wide for JPEG")));
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, quality.clamp(1, 100));
    if let Some(exif) = exif {
        encoder.add_app_segment(1, [b"Exif\0\0".as_slice(), &exif].concat()).map_err(internal)?;
    }
    encoder.encode(rgb, side(width)?, side(height)?, jpeg_encoder::ColorType::Rgb).map_err(internal)?;
    Ok(bytes)
}

/// Lossy WebP.
pub(super) fn webp(rgb: &[u8], width: u32, height: u32, quality: u8) -> Result<Vec<u8>> {
    let encoder = webp::Encoder::from_rgb(rgb, width, height);
    let encoded = encoder.encode_simple(false, f32::from(quality.clamp(1, 100)));
    encoded.map(|bytes| bytes.to_vec()).map_err(|error| Failure::Internal(format!("WebP: {error:?}")))
}

fn internal(error: impl std::fmt::Display) -> Failure {
    Failure::Internal(error.to_string())
}
