//! What users send becomes what a viewer shows, and hostile bytes become words.

use darkroom::{
    job::Resize,
    pixels::{
        Given, decode,
        mask::{blended, feathered},
    },
};
use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage, imageops};
use png::{BitDepth, ColorType};
use proptest::prelude::*;

use crate::support::pictures::{
    animated_still, animated_webp, apng, chunk, cmyk, interlaced, mask, noise, png, quarters, raw_png, swollen_webp,
    turned, written,
};

const PIXELS: u64 = 1 << 22;

fn shown(bytes: &[u8]) -> RgbImage {
    decode(bytes, PIXELS).unwrap().rgb
}

fn refused(bytes: &[u8]) -> String {
    decode(bytes, PIXELS).unwrap_err()
}

fn furthest(a: &RgbImage, b: &RgbImage) -> u8 {
    assert_eq!(a.dimensions(), b.dimensions());
    a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

/// C01
#[test]
fn pictures_are_turned_as_their_exif_says() {
    let upright = quarters(64, 32);
    // What each orientation must be undone with, so that the stored picture is upright again.
    let stored = |orientation: u8| match orientation {
        2 => imageops::flip_horizontal(&upright),
        3 => imageops::rotate180(&upright),
        4 => imageops::flip_vertical(&upright),
        5 => imageops::rotate270(&imageops::flip_horizontal(&upright)),
        6 => imageops::rotate270(&upright),
        7 => imageops::rotate90(&imageops::flip_horizontal(&upright)),
        8 => imageops::rotate90(&upright),
        _ => upright.clone(),
    };
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
        for orientation in 1..=8 {
            let found = shown(&turned(&stored(orientation), orientation, format));
            assert_eq!(found.dimensions(), (64, 32), "{format:?} {orientation}");
            let off = [(8, 8), (56, 8), (8, 24), (56, 24)].map(|(x, y)| {
                let (found, wanted) = (found.get_pixel(x, y).0, upright.get_pixel(x, y).0);
                found.iter().zip(wanted).map(|(found, wanted)| found.abs_diff(wanted)).max().unwrap()
            });
            assert!(off.iter().all(|off| *off < 12), "{format:?} {orientation}: {off:?}");
        }
    }
}

/// C02
#[test]
fn sixteen_bits_are_scaled_and_not_cut() {
    let grey = ImageBuffer::<Luma<u16>, _>::from_pixel(8, 8, Luma([32768]));
    assert!(shown(&written(&DynamicImage::from(grey))).pixels().all(|pixel| pixel.0 == [128; 3]));
    let ramp = ImageBuffer::<Rgb<u16>, _>::from_fn(256, 4, |x, y| Rgb([(x * 257) as u16, (x * 256 + y) as u16, 65535]));
    let found = shown(&written(&DynamicImage::from(ramp.clone())));
    for (found, wanted) in found.pixels().zip(ramp.pixels()) {
        let rounded = wanted.0.map(|part| (f64::from(part) / 257.0).round() as u8);
        assert_eq!(found.0, rounded, "{wanted:?}");
    }
}

/// C04 and D4
#[test]
fn transparent_parts_are_shown_over_white_whatever_hides_under_them() {
    let palette = [255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9];
    // Four pixels in two bits each: the indices 0, 1, 2, 3.
    let kind = (ColorType::Indexed, BitDepth::Two);
    let found = shown(&raw_png((4, 1), kind, Some((&palette, &[0, 128, 255])), &[0b0001_1011]));
    assert_eq!(found.as_raw().as_slice(), [255, 255, 255, 127, 255, 127, 0, 0, 255, 9, 9, 9]);

    let bits = shown(&raw_png((8, 1), (ColorType::Grayscale, BitDepth::One), None, &[0b1010_0101]));
    assert_eq!(bits.pixels().map(|pixel| pixel.0[1]).collect::<Vec<_>>(), [255, 0, 255, 0, 0, 255, 0, 255]);

    let grey = ImageBuffer::from_fn(3, 1, |x, _| LumaA([40_u8, [0, 128, 255][x as usize]]));
    let found = shown(&written(&DynamicImage::from(grey)));
    assert_eq!(found.pixels().map(|pixel| pixel.0[0]).collect::<Vec<_>>(), [255, 147, 40]);

    for hidden in [[0, 0, 0, 0], [255, 0, 255, 0]] {
        let ghost = RgbaImage::from_pixel(4, 4, Rgba(hidden));
        assert!(shown(&written(&DynamicImage::from(ghost))).pixels().all(|pixel| pixel.0 == [255; 3]));
    }
    let found = shown(&interlaced(13, 9, |x, y| (x * 16 + y) as u8));
    assert!(found.enumerate_pixels().all(|(x, y, pixel)| pixel.0 == [(x * 16 + y) as u8; 3]));
}

/// C05
#[test]
fn cmyk_is_no_negative() {
    for as_ycck in [false, true] {
        for (ink, wanted) in [
            ([255, 0, 0, 0], [0, 255, 255]),
            ([0, 255, 0, 0], [255, 0, 255]),
            ([0, 0, 255, 0], [255, 255, 0]),
            ([0, 0, 0, 255], [0, 0, 0]),
            ([0, 0, 0, 0], [255, 255, 255]),
        ] {
            let found = shown(&cmyk(ink, (16, 16), as_ycck));
            let wanted = RgbImage::from_pixel(16, 16, Rgb(wanted));
            assert!(furthest(&found, &wanted) < 12, "{ink:?} {as_ycck}: {:?}", found.get_pixel(0, 0));
        }
    }
}

/// C08 and D13
#[test]
fn of_an_animation_the_first_frame_is_taken_and_gif_is_refused() {
    let frames = [[0, 255, 0], [255, 0, 0]].map(|colour| RgbImage::from_pixel(16, 16, Rgb(colour)));
    for bytes in [apng(&frames), animated_webp(&frames)] {
        let found = decode(&bytes, PIXELS).unwrap();
        assert!(found.animated);
        // The WebP decoder blends frames, and loses one of 255 on the way.
        assert!(furthest(&found.rgb, &frames[0]) <= 1);
    }
    assert!(!decode(&png(&frames[0]), PIXELS).unwrap().animated);
    let gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    let text = refused(gif);
    assert!(["gif", "png", "jpeg", "webp"].iter().all(|name| text.contains(name)), "{text}");
    assert!(refused(b"not a picture at all").contains("no picture"));
    assert!(refused(b"").contains("no picture"));
}

#[test]
fn dimensions_are_refused_before_anything_is_decoded() {
    let head = |width: u32, height: u32| {
        let sizes = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
        [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &sizes), chunk(b"IDAT", &[0x78, 1])].concat()
    };
    for (width, height) in [(u32::MAX >> 1, u32::MAX >> 1), (100_000, 100_000), (100_000, 1), (1, 20_000)] {
        assert!(refused(&head(width, height)).contains("too large"), "{width} x {height}");
    }
    let text = refused(&head(4096, 4096));
    assert!(text.contains("16777216 pixels") && text.contains("limits.pixels allows 4194304"), "{text}");
    assert!(refused(&swollen_webp()).contains("16383 x 16383"));
    // A JPEG and a WebP of 9 x 7 under a limit of 62.
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
        let bytes = turned(&noise(9, 7), 1, format);
        assert!(decode(&bytes, 63).is_ok() && decode(&bytes, 62).unwrap_err().contains("63 pixels"), "{format:?}");
    }
}

#[test]
fn truncated_and_corrupt_files_are_errors() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
        let whole = turned(&noise(32, 32), 6, format);
        assert!(decode(&whole, PIXELS).is_ok());
        for share in [1, 2, 5, 8, 9] {
            let cut = &whole[..whole.len() * share / 10];
            assert!(decode(cut, PIXELS).is_err(), "{format:?}: {share} tenths of it are decoded");
        }
    }
    let mut flipped = png(&noise(32, 32));
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    assert!(decode(&flipped, PIXELS).is_err());
}

/// The decoder wrote past the end of a frame that is smaller than the lossy picture in it.
#[test]
fn frames_of_another_size_than_they_say_are_refused() {
    let rgba = [200; 48 * 32 * 4];
    let still = webp::Encoder::from_rgba(&rgba, 48, 32).encode(60.0);
    assert!(decode(&animated_still(&still, (48, 32)), PIXELS).is_ok());
    for size in [(24, 16), (48, 16), (96, 64)] {
        let mut bytes = animated_still(&still, size);
        assert!(refused(&bytes).contains("another size"), "{size:?}");
        // The decoder does not look at the name of what follows the alpha.
        let at = bytes.windows(4).rposition(|name| name == b"VP8 ").unwrap();
        bytes[at] = b'X';
        assert!(refused(&bytes).contains("another size"), "{size:?}");
    }
}

/// The decoder asked for as much memory as the EXIF says that it needs.
#[test]
fn exif_that_claims_more_than_the_file_has_is_refused() {
    let mut bytes = turned(&noise(8, 8), 6, ImageFormat::WebP);
    assert!(decode(&bytes, PIXELS).is_ok());
    let at = bytes.windows(4).position(|name| name == b"EXIF").unwrap() + 4;
    bytes[at..at + 4].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    assert!(refused(&bytes).contains("EXIF"));
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(format in 0..3_usize, edits in prop::collection::vec((any::<u16>(), any::<u8>()), 1..12)) {
        let format = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP][format];
        let mut bytes = turned(&noise(24, 16), 5, format);
        for (at, byte) in edits {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        // Either is fine; that it comes back is the claim.
        let _ = decode(&bytes, 1 << 16);
    }
}

fn given(picture: &RgbImage, masked: Option<&RgbImage>, size: (u32, u32), mode: Resize) -> Given {
    Given::new(picture, masked, (size, mode), 0)
}

#[test]
fn a_picture_of_the_right_size_stays_as_it_is() {
    let picture = noise(32, 24);
    for mode in [Resize::Crop, Resize::Stretch, Resize::Pad] {
        assert_eq!(given(&picture, None, (32, 24), mode).picture, picture, "{mode:?}");
    }
}

#[test]
fn each_way_to_resize_keeps_what_it_promises() {
    let wide = quarters(128, 64);
    let near = |found: &RgbImage, (x, y): (u32, u32), wanted: [u8; 3]| {
        let pixel = found.get_pixel(x, y).0;
        assert!(pixel.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) < 8), "({x}, {y}) is {pixel:?}, not {wanted:?}");
    };
    let (red, green, white) = ([220, 20, 30], [20, 200, 40], [255; 3]);
    let stretched = given(&wide, None, (32, 32), Resize::Stretch).picture;
    near(&stretched, (1, 1), red);
    near(&stretched, (30, 1), green);
    // The middle half: red and green still meet in the middle.
    let cropped = given(&wide, None, (32, 32), Resize::Crop).picture;
    near(&cropped, (8, 8), red);
    near(&cropped, (24, 8), green);
    let padded = given(&wide, Some(&mask(128, 64, |_, _| true)), (32, 32), Resize::Pad);
    near(&padded.picture, (16, 2), white);
    near(&padded.picture, (8, 12), red);
    near(&padded.picture, (24, 12), green);
    let shares = padded.mask.unwrap();
    assert_eq!((shares.get_pixel(16, 2).0, shares.get_pixel(16, 16).0), ([0], [255]), "margins are kept");
    // A long strip does not need the memory of a square of its length.
    let strip = given(&quarters(16384, 16), None, (512, 512), Resize::Stretch).picture;
    assert_eq!(strip.dimensions(), (512, 512));
}

#[test]
fn a_mask_goes_with_its_picture() {
    let half = mask(128, 64, |x, _| x >= 64);
    for mode in [Resize::Crop, Resize::Stretch] {
        let shares = given(&quarters(128, 64), Some(&half), (32, 32), mode).mask.unwrap();
        let found = [(0, 0), (14, 16), (17, 16), (31, 31)].map(|(x, y)| shares.get_pixel(x, y).0[0]);
        assert_eq!(found, [0, 0, 255, 255], "{mode:?}");
    }
    let grey = RgbImage::from_pixel(8, 8, Rgb([100; 3]));
    assert!(given(&grey, Some(&grey), (8, 8), Resize::Crop).mask.unwrap().pixels().all(|share| share.0 == [100]));
}

/// D14, and the reach of a feather.
#[test]
fn feathers_reach_as_far_as_they_say() {
    let edge = GrayImage::from_fn(64, 8, |x, _| Luma([if x >= 32 { 255 } else { 0 }]));
    for feather in [1, 4, 9] {
        let soft = feathered(&edge, feather);
        let row: Vec<u8> = (0..64).map(|x| soft.get_pixel(x, 4).0[0]).collect();
        assert!(row.windows(2).all(|pair| pair[0] <= pair[1]), "{row:?}");
        let (first, last) = ((32 - feather) as usize, (32 + feather) as usize);
        assert!(row[..first].iter().all(|share| *share == 0) && row[last..].iter().all(|share| *share == 255));
        assert!(row[first] > 0 && row[last - 1] < 255, "{row:?}");
    }
    assert_eq!(feathered(&edge, 0), edge);
}

#[test]
fn black_keeps_to_the_byte_and_grey_blends() {
    let (new, old) = ([200, 100, 0].repeat(4), [0, 50, 255].repeat(4));
    let mixed = blended(&new, &old, &[0, 255, 128, 51]);
    assert_eq!(mixed, [0, 50, 255, 200, 100, 0, 100, 75, 127, 40, 60, 204]);
}
