//! What users send as a picture, to eight-bit RGB as a viewer shows it on white paper: safely, whatever the bytes are.
//!
//! The format is told by the content, never by a name. Dimensions are read and refused before anything is decoded.

use std::io::Cursor;

use image::{
    DynamicImage, GrayImage, ImageDecoder, ImageError, ImageFormat, Limits, Luma, Rgb, RgbImage,
    codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder},
    guess_format,
};

use super::container;

/// Pixels along a side at most, whatever the area.
const SIDE: u32 = 16384;

/// Bytes that a decoder may allocate for each pixel that is allowed: 16 bits of red, green, blue and alpha.
const PIXEL_BYTES: u64 = 8;

/// Bytes that a decoder may allocate beside the pixels, for profiles and texts.
const OTHER_BYTES: u64 = 1 << 24;

/// A picture that came in.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// Upright, over white.
    pub rgb: RgbImage,
    /// Whether it was the first of several frames.
    pub animated: bool,
}

/// Decodes a PNG, JPEG or WebP of at most `pixels` pixels: palettes, grey, 16 bits and CMYK become RGB, the EXIF orientation
/// is applied, transparent parts are shown over white, and of an animation the first frame is taken.
///
/// # Errors
/// What is wrong with the bytes, for the client: another format, too large, truncated, corrupt.
pub fn decode(bytes: &[u8], pixels: u64) -> Result<Decoded, String> {
    let (picture, animated) = read(bytes, pixels)?;
    Ok(Decoded { rgb: over_white(picture), animated })
}

/// What of a picture is transparent, decoded and bounded as [`decode`] does it: white where it is, black where it is opaque;
/// `None` for a picture without alpha.
///
/// # Errors
/// As [`decode`].
pub fn transparency(bytes: &[u8], pixels: u64) -> Result<Option<GrayImage>, String> {
    let (picture, _) = read(bytes, pixels)?;
    if !picture.color().has_alpha() {
        return Ok(None);
    }
    let rgba = picture.into_rgba8();
    Ok(Some(GrayImage::from_fn(rgba.width(), rgba.height(), |x, y| Luma([255 - rgba.get_pixel(x, y).0[3]]))))
}

/// The picture, upright, and whether it is animated.
fn read(bytes: &[u8], pixels: u64) -> Result<(DynamicImage, bool), String> {
    let reader = Cursor::new(bytes);
    match format(bytes)? {
        ImageFormat::Png => {
            let decoder = PngDecoder::with_limits(reader, limits(pixels)).map_err(broken)?;
            let animated = decoder.is_apng().map_err(broken)?;
            finish(decoder, pixels, animated)
        }
        ImageFormat::Jpeg => {
            let decoder = JpegDecoder::new(reader).map_err(broken)?;
            bounded(decoder.dimensions(), pixels)?;
            // The decoder fills what is missing with grey.
            if !container::jpeg_ends(bytes) {
                return Err("is a JPEG that breaks off before its end".into());
            }
            finish(decoder, pixels, false)
        }
        _ => {
            let decoder = WebPDecoder::new(reader).map_err(broken)?;
            bounded(decoder.dimensions(), pixels)?;
            // The decoder believes a frame's own size before it compares it with the picture's.
            container::webp_frames(bytes).try_for_each(|size| bounded(size, pixels))?;
            if !container::webp_exif_ends(bytes) {
                return Err("is a WebP that breaks off within its EXIF".into());
            }
            if !container::webp_frames_fit(bytes) {
                return Err("is a WebP with a frame of another size than it says".into());
            }
            let animated = decoder.has_animation();
            finish(decoder, pixels, animated)
        }
    }
}

/// The format, where it is one that is read here.
fn format(bytes: &[u8]) -> Result<ImageFormat, String> {
    const KNOWN: [ImageFormat; 3] = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP];
    match guess_format(bytes) {
        Ok(format) if KNOWN.contains(&format) => Ok(format),
        Ok(other) => {
            let name = other.extensions_str().first().copied().unwrap_or("something");
            Err(format!("is {name}; only png, jpeg and webp are read"))
        }
        Err(_) => Err("is no picture; png, jpeg and webp are read".into()),
    }
}

fn limits(pixels: u64) -> Limits {
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(SIDE), Some(SIDE));
    limits.max_alloc = Some(pixels.saturating_mul(PIXEL_BYTES).saturating_add(OTHER_BYTES));
    limits
}

fn bounded((width, height): (u32, u32), pixels: u64) -> Result<(), String> {
    let area = u64::from(width) * u64::from(height);
    if width > SIDE || height > SIDE {
        return Err(format!("is {width} x {height} pixels; a side may have {SIDE}"));
    }
    match area > pixels {
        true => Err(format!("is {width} x {height}, {area} pixels; limits.pixels allows {pixels}")),
        false => Ok(()),
    }
}

fn finish(mut decoder: impl ImageDecoder, pixels: u64, animated: bool) -> Result<(DynamicImage, bool), String> {
    bounded(decoder.dimensions(), pixels)?;
    decoder.set_limits(limits(pixels)).map_err(broken)?;
    let orientation = decoder.orientation().map_err(broken)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
    picture.apply_orientation(orientation);
    Ok((picture, animated))
}

/// The picture on white paper; colours under full transparency do not matter.
fn over_white(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let rgba = picture.into_rgba8();
    let (width, height) = rgba.dimensions();
    let shown = rgba.pixels().flat_map(|pixel| {
        let [r, g, b, alpha] = pixel.0.map(u32::from);
        [r, g, b].map(|part| ((part * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
    });
    let shown: Vec<u8> = shown.collect();
    RgbImage::from_raw(width, height, shown).unwrap_or_else(|| RgbImage::from_pixel(width, height, Rgb([255; 3])))
}

/// Decoders' words, for the client.
fn broken(error: ImageError) -> String {
    match error {
        ImageError::Limits(_) => format!("is too large: a side may have {SIDE} pixels, and memory is bounded"),
        other => format!("cannot be decoded: {other}"),
    }
}
