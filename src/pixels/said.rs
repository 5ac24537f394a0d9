use std::{collections::BTreeMap, io::Cursor};

use image::{
    ImageDecoder, ImageFormat,
    codecs::{jpeg::JpegDecoder, webp::WebPDecoder},
    guess_format,
};
use png::Limits;

use super::{container::webp_exif_ends, exif};

/// Bytes that a compressed text may have.
const TEXT: usize = 1 << 20;

/// Bytes that a PNG's reader may allocate.
const MEMORY: usize = 1 << 24;

/// The texts that a picture carries, by keyword: those of a PNG before its pixels, or the comment in the EXIF of a JPEG or
/// WebP as `parameters`, where the AUTOMATIC1111 family puts it. None where the bytes do not read; a picture is not decoded.
pub fn said(bytes: &[u8]) -> BTreeMap<String, String> {
    let exif = match guess_format(bytes) {
        Ok(ImageFormat::Png) => return png_texts(bytes).unwrap_or_default(),
        Ok(ImageFormat::Jpeg) => JpegDecoder::new(Cursor::new(bytes)).ok().and_then(|mut of| of.exif_metadata().ok()),
        // The decoder believes what the EXIF says of its length.
        Ok(ImageFormat::WebP) if !webp_exif_ends(bytes) => None,
        Ok(ImageFormat::WebP) => WebPDecoder::new(Cursor::new(bytes)).ok().and_then(|mut of| of.exif_metadata().ok()),
        _ => None,
    };
    let comment = exif.flatten().and_then(|exif| exif::read(&exif));
    comment.map(|comment| ("parameters".to_owned(), comment)).into_iter().collect()
}

fn png_texts(bytes: &[u8]) -> Option<BTreeMap<String, String>> {
    let reader = png::Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MEMORY }).read_info().ok()?;
    let info = reader.info();
    let plain = info.uncompressed_latin1_text.iter().map(|chunk| (chunk.keyword.clone(), chunk.text.clone()));
    let mut texts: BTreeMap<_, _> = plain.collect();
    for chunk in &info.compressed_latin1_text {
        let mut chunk = chunk.clone();
        if chunk.decompress_text_with_limit(TEXT).is_ok() {
            texts.extend(chunk.get_text().ok().map(|text| (chunk.keyword, text)));
        }
    }
    for chunk in &info.utf8_text {
        let mut chunk = chunk.clone();
        if chunk.decompress_text_with_limit(TEXT).is_ok() {
            texts.extend(chunk.get_text().ok().map(|text| (chunk.keyword, text)));
        }
    }
    Some(texts)
}
