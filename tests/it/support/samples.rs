//! Small valid inputs of every kind that is read, for mutations to start from.

use darkroom::pixels::latents;
use image::{DynamicImage, ImageBuffer, ImageFormat, LumaA, Rgb, Rgba, RgbaImage};
use jpeg_encoder::{ColorType as Ink, SamplingFactor};
use png::{BitDepth, ColorType};

use crate::support::pictures::{
    animated_still, animated_webp, apng, cmyk, interlaced, noise, png, quarters, raw_png, swollen_webp, turned, written,
};

/// PNG of all colour types, JPEG and WebP of all kinds; some turned by EXIF, some animated.
pub fn pictures() -> Vec<Vec<u8>> {
    [pngs(), jpegs(), webps()].concat()
}

fn pngs() -> Vec<Vec<u8>> {
    let palette: (&[u8], &[u8]) = (&[255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9], &[0, 128, 255]);
    let grey = ImageBuffer::from_fn(9, 5, |x, y| LumaA([(x * 16) as u16, (y * 9000) as u16]));
    let deep = ImageBuffer::from_fn(7, 5, |x, y| Rgb([(x * 9000) as u16, (y * 9000) as u16, 65535]));
    vec![
        png(&noise(24, 16)),
        png(&quarters(1, 1)),
        turned(&quarters(24, 16), 6, ImageFormat::Png),
        apng(&[quarters(16, 16), noise(16, 16)]),
        interlaced(13, 9, |x, y| (x * 16 + y) as u8),
        raw_png((8, 2), (ColorType::Grayscale, BitDepth::One), None, &[0b1010_0101, 0b1111_0000]),
        raw_png((4, 1), (ColorType::Indexed, BitDepth::Two), Some(palette), &[0b0001_1011]),
        written(&DynamicImage::from(grey)),
        written(&DynamicImage::from(deep)),
        written(&DynamicImage::from(RgbaImage::from_fn(9, 7, |x, y| Rgba([x as u8, 0, y as u8, (x * y * 4) as u8])))),
    ]
}

fn jpegs() -> Vec<Vec<u8>> {
    let progressive = |data: &[u8], ink: Ink| {
        let mut bytes = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 80);
        encoder.set_progressive(true);
        encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
        encoder.set_restart_interval(2);
        encoder.encode(data, 40, 24, ink).unwrap();
        bytes
    };
    vec![
        turned(&noise(24, 16), 5, ImageFormat::Jpeg),
        turned(&quarters(17, 9), 1, ImageFormat::Jpeg),
        progressive(noise(40, 24).as_raw(), Ink::Rgb),
        progressive(&noise(40, 8).into_raw(), Ink::Luma),
        cmyk([200, 10, 60, 30], (16, 16), false),
        cmyk([200, 10, 60, 30], (16, 16), true),
    ]
}

fn webps() -> Vec<Vec<u8>> {
    let lossy = |alpha: bool| {
        let rgba: Vec<u8> = noise(24, 16).pixels().flat_map(|pixel| [pixel.0[0], 9, pixel.0[1], pixel.0[2]]).collect();
        match alpha {
            true => webp::Encoder::from_rgba(&rgba, 24, 16).encode(60.0).to_vec(),
            false => webp::Encoder::from_rgb(noise(24, 16).as_raw(), 24, 16).encode(60.0).to_vec(),
        }
    };
    vec![
        turned(&noise(24, 16), 5, ImageFormat::WebP),
        turned(&quarters(24, 16), 1, ImageFormat::WebP),
        animated_webp(&[quarters(16, 16), noise(16, 16)]),
        lossy(false),
        lossy(true),
        animated_still(&lossy(true), (24, 16)),
        swollen_webp(),
    ]
}

/// Safetensors: latents `[4, 2, 2]`, and files of several tensors and kinds.
pub fn tensors() -> Vec<Vec<u8>> {
    let numbers: Vec<f32> = (0..16_u8).map(f32::from).collect();
    let file = |header: &str, data: usize| {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![1; data]].concat()
    };
    vec![
        latents::write(&numbers, [4, 2, 2]).unwrap(),
        file(
            r#"{"a":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]},"b":{"dtype":"I64","shape":[],"data_offsets":[12,20]}}"#,
            20,
        ),
        file(r#"{"__metadata__":{"format":"pt"},"latents":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]}}"#, 0),
        file("{}", 0),
    ]
}

/// Requests in JSON.
pub fn documents() -> Vec<Vec<u8>> {
    [
        r#"{"prompt": "a red heart", "steps": 20, "guidance": {"name": "cfg", "scale": 7.5}, "seed": 18446744073709551615}"#,
        r#"{"sampler": {"name": "dpmpp_2m", "wrap": [{"name": "momentum", "beta": 0.8}]}, "metadata": {"\u00e9\n": "x"}}"#,
        r#"{"schedule": {"name": "karras", "rho": 7.0, "timesteps": [1e3, 5.5e+2, -0, 0.1]}, "label": null, "a~b/c": [[[true]]]}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// A part of a form: name, file name and media type where there are any, bytes.
pub type Part<'a> = (&'a str, Option<&'a str>, Option<&'a str>, &'a [u8]);

/// A form of these parts; quotes and backslashes in names are escaped.
pub fn form(parts: &[Part<'_>], boundary: &str) -> Vec<u8> {
    let quoted = |text: &str| text.replace('"', "\\\"");
    let mut body = Vec::new();
    for (name, file, kind, bytes) in parts {
        let file = file.map(|file| format!("; filename=\"{}\"", quoted(file))).unwrap_or_default();
        let kind = kind.map(|kind| format!("content-type: {kind}\r\n")).unwrap_or_default();
        let head =
            format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{}\"{file}\r\n{kind}\r\n", quoted(name));
        body.extend([head.as_bytes(), bytes, b"\r\n"].concat());
    }
    body.extend(format!("--{boundary}--\r\n").bytes());
    body
}

/// Forms of edits, of the boundary `XyZ`.
pub fn forms() -> Vec<Vec<u8>> {
    let (image, mask) = (png(&noise(8, 8)), png(&quarters(8, 8)));
    let picture: Part = ("image", Some("a \"quoted\" name.png"), Some("image/png"), &image);
    vec![
        form(
            &[picture, ("seed", None, None, b"7"), ("sampler", None, None, br#"{"name": "ddim", "eta": 0.5}"#)],
            "XyZ",
        ),
        form(
            &[picture, ("mask", Some(""), None, &mask), ("steps", None, Some("text/plain; charset=utf-8"), b"2")],
            "XyZ",
        ),
        form(
            &[("im~a/ge", None, None, b"{\"a\": [}"), ("prompt", None, None, "é\0".as_bytes()), ("", None, None, b"")],
            "XyZ",
        ),
        form(&[], "XyZ"),
    ]
}
