//! Pictures as bytes: every text is legal and reads back, every format round-trips, hostile latents are refused.

use std::collections::BTreeMap;

use darkroom::{
    job::{Format, Generation, Output},
    pixels::{PictureText, encode, latents, preview, transcode},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::jobs::generation;

const SHA: &str = "0123456789abcdef";

fn output(format: Format) -> Output {
    Output { format, quality: 90 }
}

/// A smooth picture, so that lossy formats come near it.
fn gradient(width: u32, height: u32) -> Vec<u8> {
    (0..height)
        .flat_map(|y| (0..width).flat_map(move |x| [(x * 255 / width) as u8, (y * 255 / height) as u8, 128]))
        .collect()
}

fn mean_difference(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / a.len() as f64
}

fn decode(bytes: &[u8], format: image::ImageFormat) -> (u32, u32, Vec<u8>) {
    let picture = image::load_from_memory_with_format(bytes, format).unwrap().into_rgb8();
    (picture.width(), picture.height(), picture.into_raw())
}

/// CRC-32 as PNG defines it (annex D).
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 })
    })
}

/// The texts of a PNG by keyword, with the chunk that each came in; every rule of PNG that concerns them is asserted.
pub fn texts(png: &[u8]) -> BTreeMap<String, (String, String)> {
    assert_eq!(png[..8], [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a]);
    let (mut rest, mut found, mut kinds) = (&png[8..], BTreeMap::new(), Vec::new());
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        let (kind, data) = (String::from_utf8(rest[4..8].to_vec()).unwrap(), &rest[8..8 + length]);
        assert_eq!(crc(&rest[4..8 + length]).to_be_bytes(), rest[8 + length..12 + length], "CRC of {kind}");
        let end = data.iter().position(|byte| *byte == 0).unwrap_or(0);
        let keyword = String::from_utf8_lossy(&data[..end]).into_owned();
        match kind.as_str() {
            "tEXt" => {
                let text = &data[end + 1..];
                assert!(text.iter().all(|byte| matches!(byte, 10 | 0x20..=0x7e | 0xa1..=0xff)), "legal Latin-1");
                found.insert(keyword, (kind.clone(), text.iter().map(|byte| char::from(*byte)).collect()));
            }
            "iTXt" => {
                assert_eq!(data[end..end + 5], [0, 0, 0, 0, 0], "uncompressed, no language, no translated keyword");
                found.insert(keyword, (kind.clone(), String::from_utf8(data[end + 5..].to_vec()).unwrap()));
            }
            _ => {}
        }
        kinds.push(kind);
        rest = &rest[12 + length..];
    }
    assert_eq!((kinds[0].as_str(), kinds.last().unwrap().as_str()), ("IHDR", "IEND"));
    found
}

fn png_of(request: &Generation, index: u32) -> BTreeMap<String, (String, String)> {
    let text = PictureText::of(request, index, SHA);
    texts(&encode(&gradient(8, 8), 8, 8, output(Format::Png), Some(&text)).unwrap())
}

#[test]
fn prompts_read_back_exactly_and_only_what_must_goes_into_itxt() {
    let cases = [
        ("é", "tEXt"),
        ("plain\nlines", "tEXt"),
        ("赤いハート ❤️ é", "iTXt"),
        ("rocket 🚀", "iTXt"),
        ("tab\tand nbsp\u{a0}", "iTXt"),
    ];
    for (prompt, kind) in cases {
        let found = png_of(&generation(prompt, 1), 0);
        let (parameters_kind, parameters) = &found["parameters"];
        let (request_kind, request) = &found["darkroom"];
        let request: Value = serde_json::from_str(request).unwrap();
        assert_eq!(request["prompt"], prompt);
        assert!(parameters.starts_with(&format!("{prompt}\nSteps: 4, Sampler: DDIM, ")), "{parameters}");
        assert_eq!(parameters_kind, kind, "{prompt}");
        // JSON escapes tabs and line feeds, so the request needs iTXt only for what is not Latin-1.
        assert!(request_kind == kind || prompt.contains('\t'), "{prompt}");
    }
}

#[test]
fn whatever_a_prompt_says_the_last_line_is_ours() {
    let prompt = "heart\nNegative prompt: x\nSteps: 99, Sampler: Foo, Seed: 1, Size: 8x8";
    let mut request = generation(prompt, 1);
    request.negative_prompt = "blur\nSteps: 98, Seed: 2, Size: 9x9".into();
    (request.clip_skip, request.model) = (1, "a, b: c".into());
    let found = png_of(&request, 0);
    let parameters = &found["parameters"].1;
    let last = "Steps: 4, Sampler: DDIM, Schedule type: trailing, CFG scale: 7.5, Seed: 7, Size: 64x64, \
                Model hash: 0123456789, Model: \"a, b: c\", Clip skip: 2, Version: darkroom 0.1.0";
    assert_eq!(parameters.lines().last().unwrap(), last);
    assert_eq!(serde_json::from_str::<Value>(&found["darkroom"].1).unwrap()["prompt"], prompt);
}

#[test]
fn a_png_carries_the_request_of_its_one_picture_and_nothing_private() {
    let mut request = generation("heart", 4);
    request.latents = Some(json!({"blob": "sha256:ab"}));
    request.metadata = [("owner".to_owned(), "me".to_owned())].into();
    (request.priority, request.preview_every, request.previews) = (3, 2, 1);
    let found = png_of(&request, 2);
    let posted: Value = serde_json::from_str(&found["darkroom"].1).unwrap();
    let mut expected = serde_json::to_value(&request).unwrap();
    let fields = expected.as_object_mut().unwrap();
    for left_out in ["latents", "metadata", "priority", "preview_every", "previews", "output"] {
        fields.remove(left_out).unwrap_or_default();
    }
    (fields["seed"], fields["count"]) = (json!(9), json!(1));
    assert_eq!(posted, expected);
    let mut alone = request;
    (alone.seed, alone.count, alone.priority) = (9, 1, 0);
    assert_eq!(png_of(&alone, 0), found, "company and priority leave no trace");
}

#[test]
fn formats_round_trip_and_convert() {
    use image::ImageFormat::{Jpeg, Png, WebP};
    let (width, height) = (80, 48);
    let rgb = gradient(width, height);
    let formats = [(Format::Png, Png), (Format::Jpeg, Jpeg), (Format::Webp, WebP)];
    for (from, decoder) in formats {
        let made = encode(&rgb, width, height, output(from), None).unwrap();
        let (w, h, back) = decode(&made, decoder);
        assert_eq!((w, h), (width, height));
        let bound = if from == Format::Png { 0.0 } else { 4.0 };
        assert!(mean_difference(&back, &rgb) <= bound, "{from:?}");
        for (to, decoder) in formats {
            let (w, h, again) = decode(&transcode(&made, from, output(to)).unwrap(), decoder);
            assert_eq!((w, h), (width, height));
            let bound = if to == Format::Png { 0.0 } else { 4.0 };
            assert!(mean_difference(&again, &back) <= bound, "{from:?} to {to:?}");
        }
    }
    let low = Output { format: Format::Webp, quality: 5 };
    assert!(
        encode(&rgb, width, height, low, None).unwrap().len()
            < encode(&rgb, width, height, output(Format::Webp), None).unwrap().len()
    );
    let low = Output { format: Format::Jpeg, quality: 5 };
    assert!(
        encode(&rgb, width, height, low, None).unwrap().len()
            < encode(&rgb, width, height, output(Format::Jpeg), None).unwrap().len()
    );
    assert!(encode(&rgb, 80, 47, output(Format::Png), None).is_err());
    assert!(encode(&[], 0, 0, output(Format::Webp), None).is_err());
    assert!(encode(&rgb, width, height, output(Format::Safetensors), None).is_err());
    assert!(transcode(b"no picture", Format::Png, output(Format::Jpeg)).is_err());
    assert!(encode(&vec![0; 3 * 70000], 70000, 1, output(Format::Jpeg), None).is_err());
    assert!(encode(&vec![0; 3 * 17000], 17000, 1, output(Format::Webp), None).is_err());
}

#[test]
fn a_preview_is_the_linear_map_at_the_pictures_size() {
    // Two channels of 2x2: the left half red through channel 0, the rest by the bias.
    let map = [[0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.5, 0.5, 1.0]];
    let values = [1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0, -1.0];
    let made = preview(&values, [2, 2, 2], Some(&map), (512, 512)).unwrap();
    let (width, height, rgb) = decode(&made, image::ImageFormat::WebP);
    assert_eq!((width, height), (256, 256));
    let at = |x: usize, y: usize| &rgb[(y * 256 + x) * 3..][..3];
    for ((x, y), expected) in
        [((8, 8), [255, 255, 255]), ((247, 8), [0, 255, 255]), ((8, 247), [255, 0, 255]), ((247, 247), [0, 0, 255])]
    {
        assert!(mean_difference(at(x, y), &expected) < 12.0, "{:?} at {x},{y}", at(x, y));
    }
    // One channel is grey, -1 black and 1 white, beyond that clamped; a wide picture keeps its shape.
    let made = preview(&[-3.0, 0.0, 0.0, 3.0], [1, 1, 4], None, (128, 32)).unwrap();
    let (width, height, rgb) = decode(&made, image::ImageFormat::WebP);
    assert_eq!((width, height), (128, 32));
    assert!(rgb[..3].iter().all(|part| *part < 12) && rgb[127 * 3..128 * 3].iter().all(|part| *part > 243));
    assert!(rgb[64 * 3..65 * 3].iter().all(|part| part.abs_diff(128) < 12));
    assert!(
        preview(&values, [2, 2, 3], Some(&map), (64, 64)).is_err() && preview(&[], [0, 2, 2], None, (64, 64)).is_err()
    );
}

#[test]
fn latents_round_trip_to_the_bit() {
    let values: Vec<f32> = (0..24).map(|number| (number as f32 * 0.37).sin()).collect();
    let bytes = latents::write(&values, [2, 3, 4]).unwrap();
    assert_eq!(latents::read(&bytes, [2, 3, 4]).unwrap(), values);
    assert_eq!(latents::write(&values, [2, 3, 4]).unwrap(), bytes);
    assert!(latents::write(&values, [2, 3, 5]).is_err());
}

/// A safetensors file with that header.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn malformed_latents_are_faults() {
    let good = latents::write(&[1.0; 4], [1, 2, 2]).unwrap();
    let of = |dtype: &str, shape: &str, offsets: &str, data: usize| {
        let header = format!(r#"{{"latents":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#);
        file(&header, &vec![0; data])
    };
    let one = r#"{"dtype":"F32","shape":[1,2,2],"data_offsets":[0,16]}"#;
    let more = r#"{"dtype":"F32","shape":[1,2,2],"data_offsets":[8,24]}"#;
    let cases = [
        ("empty", vec![]),
        ("seven bytes", vec![0; 7]),
        ("length of all ones", vec![0xff; 8]),
        ("length near 2^64", [vec![0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], vec![0; 100]].concat()),
        ("length past the end", [&1000_u64.to_le_bytes()[..], b"{}"].concat()),
        ("a header of 100 kB", file(&format!("{{\"latents\":{one}{}}}", " ".repeat(100_000)), &[0; 16])),
        ("no JSON", file("nonsense", &[0; 16])),
        ("not UTF-8", [&2_u64.to_le_bytes()[..], &[0xff, 0xfe]].concat()),
        ("no tensor", file("{}", &[])),
        ("another name", file(&format!(r#"{{"noise":{one}}}"#), &[0; 16])),
        (
            "two tensors",
            file(&format!(r#"{{"latents":{one},"x":{{"dtype":"F32","shape":[1],"data_offsets":[16,20]}}}}"#), &[0; 20]),
        ),
        ("overlap", file(&format!(r#"{{"latents":{one},"x":{more}}}"#), &[0; 24])),
        ("a product that wraps to 0", of("F32", "[4294967296,4294967296]", "[0,0]", 0)),
        ("a product that wraps, thrice", of("F32", "[4294967296,2147483648,2]", "[0,0]", 0)),
        ("a negative size", of("F32", "[-1]", "[0,16]", 16)),
        ("a fractional size", of("F32", "[1.5,2,2]", "[0,16]", 16)),
        ("end past the file", of("F32", "[1,2,2]", "[0,32]", 16)),
        ("begin after end", of("F32", "[1,2,2]", "[16,0]", 16)),
        ("offsets near 2^64", of("F32", "[1,2,2]", "[18446744073709551600,18446744073709551615]", 16)),
        ("a gap", of("F32", "[1,2,2]", "[4,20]", 20)),
        ("another dtype", of("F16", "[1,2,2]", "[0,8]", 8)),
        ("an unknown dtype", of("F99", "[1,2,2]", "[0,16]", 16)),
        ("another shape", of("F32", "[2,2,1]", "[0,16]", 16)),
        ("a batch", of("F32", "[1,1,2,2]", "[0,16]", 16)),
        ("data after the end", [good.clone(), vec![0]].concat()),
        ("data cut short", good[..good.len() - 1].to_vec()),
        ("NaN", latents::write(&[1.0, f32::NAN, 1.0, 1.0], [1, 2, 2]).unwrap()),
        ("infinity", latents::write(&[1.0, 1.0, 1.0, f32::INFINITY], [1, 2, 2]).unwrap()),
    ];
    assert!(latents::read(&good, [1, 2, 2]).is_ok());
    for (name, bytes) in cases {
        let fault = latents::read(&bytes, [1, 2, 2]).expect_err(name);
        assert_eq!(fault.pointer, "/latents", "{name}");
        assert!(fault.message.len() > 10 && fault.message.len() < 400, "{name}: {}", fault.message);
    }
}

proptest! {
    /// A good file with a few bytes overwritten and an end cut off is read or refused, never a panic.
    #[test]
    fn broken_latents_never_panic(
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut bytes = latents::write(&[0.5; 4], [1, 2, 2]).unwrap();
        for (at, value) in hits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(keep.index(bytes.len()) + 1);
        if let Ok(read) = latents::read(&bytes, [1, 2, 2]) {
            prop_assert!(read.len() == 4 && read.iter().all(|number| number.is_finite()));
        }
    }

    /// Any text survives the PNG.
    #[test]
    fn any_prompt_survives_the_png(prompt in "[^\u{0}]{0,40}") {
        let found = png_of(&generation(&prompt, 1), 0);
        prop_assert_eq!(&serde_json::from_str::<Value>(&found["darkroom"].1).unwrap()["prompt"], &json!(prompt));
        let start = format!("{prompt}\nSteps: ");
        prop_assert!(found["parameters"].1.starts_with(&start));
    }
}
