//! Transparency as a mask.

use image::{DynamicImage, GrayImage, ImageFormat};

use super::decode::transparency;

/// What of a picture of at most `pixels` pixels is transparent, as a PNG: white where it is, black where it is opaque. `None`
/// where nothing is.
///
/// # Errors
/// As [`decode`](super::decode()).
pub fn transparent(bytes: &[u8], pixels: u64) -> Result<Option<Vec<u8>>, String> {
    let anywhere = |grey: &GrayImage| grey.iter().any(|share| *share > 0);
    transparency(bytes, pixels)?.filter(anywhere).map(written).transpose()
}

fn written(grey: GrayImage) -> Result<Vec<u8>, String> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::from(grey).write_to(&mut bytes, ImageFormat::Png).map_err(|error| error.to_string())?;
    Ok(bytes.into_inner())
}
