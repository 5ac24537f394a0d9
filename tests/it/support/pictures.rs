//! Pictures as people send them, made here: every container, colour type and oddity that a decoder meets.

use std::io::Cursor;

use base64::{Engine, prelude::BASE64_STANDARD};
use image::{
    DynamicImage, ImageEncoder, ImageFormat, Rgb, RgbImage,
    codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder},
};
use png::{BitDepth, ColorType};

/// Red at the top left, green at the top right, blue at the bottom left, grey elsewhere: no turn of it is itself.
pub fn quarters(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb(match (2 * x < width, 2 * y < height) {
            (true, true) => [220, 20, 30],
            (false, true) => [20, 200, 40],
            (true, false) => [30, 40, 210],
            (false, false) => [120, 120, 120],
        })
    })
}

/// Noise without any order.
pub fn noise(width: u32, height: u32) -> RgbImage {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    RgbImage::from_fn(width, height, |_, _| Rgb([next(), next(), next()]))
}

/// A mask that is white where `change` says so.
pub fn mask(width: u32, height: u32, change: impl Fn(u32, u32) -> bool) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([if change(x, y) { 255 } else { 0 }; 3]))
}

/// The plain PNG of a picture.
pub fn png(picture: &RgbImage) -> Vec<u8> {
    written(&DynamicImage::from(picture.clone()))
}

/// The PNG of a picture of any colour type.
pub fn written(picture: &DynamicImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A data URL.
pub fn url(bytes: &[u8]) -> String {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(bytes))
}

/// A picture that says how it must be turned, in a container.
pub fn turned(picture: &RgbImage, orientation: u8, format: ImageFormat) -> Vec<u8> {
    let exif =
        [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".as_slice(), &[orientation, 0, 0, 0, 0, 0, 0, 0]].concat();
    let mut bytes = Vec::new();
    match format {
        ImageFormat::Png => with_exif(PngEncoder::new(&mut bytes), picture, exif),
        ImageFormat::Jpeg => with_exif(JpegEncoder::new_with_quality(&mut bytes, 98), picture, exif),
        _ => with_exif(WebPEncoder::new_lossless(&mut bytes), picture, exif),
    }
    bytes
}

fn with_exif(mut encoder: impl ImageEncoder, picture: &RgbImage, exif: Vec<u8>) {
    encoder.set_exif_metadata(exif).unwrap();
    let (width, height) = picture.dimensions();
    encoder.write_image(picture.as_raw(), width, height, image::ExtendedColorType::Rgb8).unwrap();
}

/// A PNG straight from its parts.
pub fn raw_png(
    (width, height): (u32, u32),
    (color, depth): (ColorType, BitDepth),
    palette: Option<(&[u8], &[u8])>,
    data: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if let Some((colours, alphas)) = palette {
        encoder.set_palette(colours.to_vec());
        encoder.set_trns(alphas.to_vec());
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(data).unwrap();
    writer.finish().unwrap();
    bytes
}

/// An animated PNG of these frames.
pub fn apng(frames: &[RgbImage]) -> Vec<u8> {
    let (width, height) = frames[0].dimensions();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_animated(u32::try_from(frames.len()).unwrap(), 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    frames.iter().for_each(|frame| writer.write_image_data(frame.as_raw()).unwrap());
    writer.finish().unwrap();
    bytes
}

/// A grey PNG of eight bits in seven interlaced passes (PNG third edition, 8.2), its data stored without compression.
pub fn interlaced(width: u32, height: u32, grey: impl Fn(u32, u32) -> u8) -> Vec<u8> {
    let passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
    let mut lines = Vec::new();
    for (left, top, right, down) in passes {
        for y in (top..height).step_by(down) {
            let line: Vec<u8> = (left..width).step_by(right).map(|x| grey(x, y)).collect();
            if !line.is_empty() {
                lines.push(0);
                lines.extend(line);
            }
        }
    }
    let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 1]].concat();
    let signature = b"\x89PNG\r\n\x1a\n".to_vec();
    [signature, chunk(b"IHDR", &head), chunk(b"IDAT", &stored(&lines)), chunk(b"IEND", &[])].concat()
}

/// A PNG chunk.
pub fn chunk(name: &[u8], data: &[u8]) -> Vec<u8> {
    let named = [name, data].concat();
    let crc = !named.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 })
    });
    [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], &named, &crc.to_be_bytes()].concat()
}

/// A zlib stream of one stored block.
fn stored(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    let (a, b) = data.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    let head = [&[0x78, 1, 1][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
    [head, data.to_vec(), (b << 16 | a).to_be_bytes().to_vec()].concat()
}

/// A RIFF chunk.
fn riff(name: &[u8], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_le_bytes();
    [name, &length, data, &vec![0; data.len() % 2]].concat()
}

/// The chunk that holds a lossless picture in a plain WebP.
fn lossless(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (width, height) = picture.dimensions();
    WebPEncoder::new_lossless(&mut bytes)
        .write_image(picture.as_raw(), width, height, image::ExtendedColorType::Rgb8)
        .unwrap();
    bytes[12..].to_vec()
}

/// An animated WebP of these frames.
pub fn animated_webp(frames: &[RgbImage]) -> Vec<u8> {
    animation(2, frames[0].dimensions(), frames.iter().map(lossless))
}

/// An animated WebP whose one frame is the lossy picture with transparent parts in a still WebP.
pub fn animated_still(still: &[u8], size: (u32, u32)) -> Vec<u8> {
    assert_eq!((&still[12..16], &still[30..34]), (b"VP8X".as_slice(), b"ALPH".as_slice()));
    animation(0x12, size, std::iter::once(still[30..].to_vec()))
}

/// An animated WebP of frames of that size, each given as its chunks.
fn animation(flags: u8, (width, height): (u32, u32), frames: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let side = |pixels: u32| (pixels - 1).to_le_bytes()[..3].to_vec();
    let size = [side(width), side(height)].concat();
    let frame = |chunks: Vec<u8>| riff(b"ANMF", &[vec![0; 6], size.clone(), vec![100, 0, 0, 0], chunks].concat());
    let head = riff(b"VP8X", &[vec![flags, 0, 0, 0], size.clone()].concat());
    let all = [head, riff(b"ANIM", &[0; 6]), frames.flat_map(frame).collect()].concat();
    riff(b"RIFF", &[b"WEBP".to_vec(), all].concat())
}

/// A WebP of a small canvas whose lossy frame says that it is as large as can be.
pub fn swollen_webp() -> Vec<u8> {
    let frame = [b"\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f".as_slice(), &[0; 64]].concat();
    let head = riff(b"VP8X", &[0, 0, 0, 0, 15, 0, 0, 15, 0, 0]);
    riff(b"RIFF", &[b"WEBP".to_vec(), head, riff(b"VP8 ", &frame)].concat())
}

/// A CMYK JPEG of one ink.
pub fn cmyk(ink: [u8; 4], (width, height): (u16, u16), as_ycck: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let data = ink.repeat(usize::from(width) * usize::from(height));
    let kind = if as_ycck { jpeg_encoder::ColorType::CmykAsYcck } else { jpeg_encoder::ColorType::Cmyk };
    jpeg_encoder::Encoder::new(&mut bytes, 95).encode(&data, width, height, kind).unwrap();
    bytes
}

/// 10 log10 (255^2 / mean squared error), in dB.
pub fn psnr(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let squares = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    10.0 * (255.0 * 255.0 * a.as_raw().len() as f64 / squares.sum::<f64>()).log10()
}
