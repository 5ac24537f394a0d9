//! AUTOMATIC1111's dialect: changed pictures, what a mask does, and pictures at other sizes.

use base64::{Engine, prelude::BASE64_STANDARD};
use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::support::{
    a1111::{files, img2img, info, pixels, refused, with},
    app::TestApp,
    pictures::{mask, noise, png, quarters, turned, url},
};

/// A square of white in the middle of a 32 by 32 mask.
fn square() -> RgbImage {
    mask(32, 32, |x, y| (12..20).contains(&x) && (12..20).contains(&y))
}

/// A wish for a changed picture of 32 by 32.
fn wish(picture: &RgbImage, more: Value) -> Value {
    with(json!({"init_images": [url(&png(picture))], "width": 32, "height": 32, "denoising_strength": 0.5}), &more)
}

#[tokio::test(flavor = "multi_thread")]
async fn base64_may_be_written_in_any_way_but_two() {
    let app = TestApp::start().await;
    let bytes = png(&noise(9, 7));
    let plain = BASE64_STANDARD.encode(&bytes);
    let lines: Vec<&str> = plain.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let with = async |image: String| img2img(&app, &json!({"init_images": [image]})).await;
    let expected = files(&with(url(&bytes)).await);
    for image in [plain.clone(), plain.trim_end_matches('=').into(), lines.join("\n"), format!("data:;base64,{plain}")]
    {
        assert_eq!(files(&with(image).await), expected);
    }
    assert!(plain.contains('+'), "the picture is chosen so");
    for image in [plain.replace('+', " "), String::new(), "http://127.0.0.1/x.png".into(), url(b"GIF89a")] {
        let said = refused(&with(image.clone()).await, 422);
        assert!(said.starts_with("init_images/0: "), "{said}");
        let said = refused(&img2img(&app, &json!({"init_images": [plain], "mask": image})).await, 422);
        assert!(said.starts_with("mask: "), "{said}");
    }
    for images in [json!([]), json!([plain, plain])] {
        assert!(refused(&img2img(&app, &json!({"init_images": images})).await, 422).starts_with("init_images: "));
    }
    assert!(
        refused(&img2img(&app, &json!({"init_images": [plain], "mask": [plain]})).await, 422).starts_with("mask: ")
    );
    assert_eq!(app.get("/v1/jobs").await.json()["data"].as_array().unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_asked_size() {
    let app = TestApp::start().await;
    let (picture, half) = (quarters(96, 80), mask(96, 80, |x, _| x < 48));
    for mode in 0..3 {
        for whole in [true, false] {
            let more = json!({
                "width": 64, "height": 48, "resize_mode": mode, "inpaint_full_res": whole, "mask": url(&png(&half))
            });
            let answer = img2img(&app, &wish(&picture, more)).await;
            assert_eq!(pixels(&answer)[0].dimensions(), (64, 48), "mode {mode}, {whole}");
            assert_eq!((&info(&answer)["width"], &info(&answer)["height"]), (&json!(64), &json!(48)));
        }
    }
    assert!(
        refused(&img2img(&app, &wish(&picture, json!({"resize_mode": 3}))).await, 422).starts_with("resize_mode: ")
    );
    let said = refused(&img2img(&app, &wish(&picture, json!({"width": 1_000_000, "height": 1_000_000}))).await, 422);
    assert!(said.starts_with("width: "), "{said}");
}

/// Without a step the picture comes back through the exact model as it was laid.
#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_stretched_cropped_or_filled_up() {
    let app = TestApp::start().await;
    let stripes = RgbImage::from_fn(16, 8, |x, _| {
        Rgb(if x < 4 {
            [0; 3]
        } else if x < 12 {
            [120; 3]
        } else {
            [255; 3]
        })
    });
    let laid = async |mode: u32| {
        let more = json!({"width": 8, "height": 8, "denoising_strength": 0, "resize_mode": mode});
        pixels(&img2img(&app, &wish(&stripes, more)).await).remove(0)
    };
    let near = |picture: &RgbImage, x, y, grey: u8| picture.get_pixel(x, y).0[0].abs_diff(grey) < 30;
    let [stretched, cropped, filled] = [laid(0).await, laid(1).await, laid(2).await];
    assert!(near(&stretched, 0, 0, 0) && near(&stretched, 4, 4, 120) && near(&stretched, 7, 7, 255));
    assert!(near(&cropped, 0, 0, 120) && near(&cropped, 7, 7, 120));
    assert!(near(&filled, 0, 0, 0) && near(&filled, 4, 0, 120) && near(&filled, 7, 7, 255));
}

/// A mask of another size is stretched to its picture; one that is turned by its EXIF is turned first.
#[tokio::test(flavor = "multi_thread")]
async fn masks_of_another_size_are_resized() {
    let app = TestApp::start().await;
    let picture = noise(32, 32);
    let small = mask(16, 16, |x, y| x < 8 && y < 8);
    let large = mask(32, 32, |x, y| x < 16 && y < 16);
    let made = async |mask: &[u8]| {
        let more = json!({"mask": url(mask), "mask_blur": 0, "inpaint_full_res": false});
        pixels(&img2img(&app, &wish(&picture, more)).await).remove(0)
    };
    let kept = |new: &RgbImage, x: u32, y: u32| new.get_pixel(x, y) == picture.get_pixel(x, y);
    for bytes in [png(&small), png(&large)] {
        let new = made(&bytes).await;
        assert!((0..32).all(|at| kept(&new, 31, at) && kept(&new, at, 31)) && !kept(&new, 2, 2));
    }
    let upright = mask(32, 32, |x, y| x < 8 && y >= 24);
    let lying = image::imageops::rotate270(&upright);
    assert_eq!(made(&png(&upright)).await, made(&turned(&lying, 6, ImageFormat::Png)).await);
}

/// What the mask keeps is kept to the byte; its edge is as wide as the blur.
#[tokio::test(flavor = "multi_thread")]
async fn masks_keep_what_is_black_blur_and_invert() {
    let app = TestApp::start().await;
    let (picture, square) = (noise(32, 32), square());
    let changed = async |more: Value| {
        let more = with(json!({"mask": url(&png(&square)), "inpaint_full_res": false, "mask_blur": 0}), &more);
        let new = pixels(&img2img(&app, &wish(&picture, more)).await).remove(0);
        let pairs = new.enumerate_pixels().filter(|(x, y, pixel)| *pixel != picture.get_pixel(*x, *y));
        pairs.map(|(x, y, _)| (x, y)).collect::<Vec<_>>()
    };
    let white = |(x, y): &(u32, u32)| (12..20).contains(x) && (12..20).contains(y);
    let hard = changed(json!({})).await;
    assert!(hard.len() > 32 && hard.iter().all(white), "{hard:?}");
    let soft = changed(json!({"mask_blur": 2})).await;
    assert!(soft.iter().any(|at| !white(at)) && soft.iter().all(|(x, y)| (2..30).contains(x) && (2..30).contains(y)));
    assert!(changed(json!({"mask_blur": null, "mask_blur_x": 4, "mask_blur_y": 4})).await.len() > soft.len());
    let inverted = changed(json!({"inpainting_mask_invert": 1})).await;
    assert!(inverted.len() > 512 && !inverted.iter().any(white));
}

/// The lower the strength, the more is left of what stood in the mask before the noise came.
#[tokio::test(flavor = "multi_thread")]
async fn the_four_fills_start_from_unlike_things() {
    let app = TestApp::start().await;
    // White on black, to be painted over: the colours around are black.
    let picture = square();
    let mut all = Vec::new();
    for fill in 0..4 {
        let more = json!({
            "mask": url(&png(&square())), "inpaint_full_res": false, "mask_blur": 0, "inpainting_fill": fill,
            "denoising_strength": 0.25
        });
        let new = pixels(&img2img(&app, &wish(&picture, more)).await).remove(0);
        let inside = (13..19).flat_map(|x| (13..19).map(move |y| (x, y)));
        all.push(inside.map(|(x, y)| u32::from(new.get_pixel(x, y).0[0])).sum::<u32>());
    }
    let [surroundings, original, noise, nothing] = all[..] else { unreachable!() };
    assert!(surroundings < nothing && nothing < original, "{all:?}");
    assert!([surroundings, original, nothing].iter().all(|other| *other != noise), "{all:?}");
}

/// The part around the mask is worked on at the whole size, and goes back into a picture that is otherwise the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_can_be_worked_on_alone() {
    let app = TestApp::start().await;
    let picture = noise(32, 32);
    let made = async |more: Value| {
        let more = with(json!({"mask": url(&png(&square())), "mask_blur": 0, "inpaint_full_res": true}), &more);
        let answer = img2img(&app, &wish(&picture, more)).await;
        (pixels(&answer).remove(0), files(&answer).remove(0))
    };
    let (tight, bytes) = made(json!({})).await;
    for (x, y, pixel) in tight.enumerate_pixels() {
        let white = (12..20).contains(&x) && (12..20).contains(&y);
        assert!(white || pixel == picture.get_pixel(x, y), "{x}, {y}");
    }
    assert_ne!(tight, picture);
    assert_ne!(tight, made(json!({"inpaint_full_res_padding": 8})).await.0, "more is seen");
    assert_ne!(tight, made(json!({"inpaint_full_res": false})).await.0);
    let job = app.get("/v1/jobs?limit=1&kind=edit").await.json()["data"][0].clone();
    assert_eq!((&job["request"]["width"], &job["request"]["method"]["fill"]), (&json!(32), &json!("surroundings")));
    let said = app.post("/sdapi/v1/png-info", &json!({"image": url(&bytes)})).await.json();
    assert_eq!((&said["parameters"]["Denoising strength"], &said["items"]), (&json!("0.5"), &json!({})), "{said}");
    // Nothing to work on: all of the picture stays.
    let empty = json!({"mask": url(&png(&mask(32, 32, |_, _| false))), "mask_blur": 0});
    assert_eq!(pixels(&img2img(&app, &wish(&picture, empty)).await)[0], picture);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_repeats_the_pictures_only_where_it_shall() {
    let app = TestApp::start().await;
    let plain = img2img(&app, &wish(&noise(8, 8), json!({}))).await.json();
    assert_eq!((&plain["parameters"]["init_images"], &plain["parameters"]["steps"]), (&Value::Null, &json!(4)));
    let with = img2img(&app, &wish(&noise(8, 8), json!({"include_init_images": true}))).await.json();
    assert_eq!(with["parameters"]["init_images"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_made_larger_without_a_network() {
    let app = TestApp::start().await;
    let picture = quarters(10, 6);
    let sized = async |more: Value| {
        let wish = with(json!({"image": url(&png(&picture)), "upscaler_1": "Nearest"}), &more);
        let answer = app.post("/sdapi/v1/extra-single-image", &wish).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        let image = BASE64_STANDARD.decode(answer.json()["image"].as_str().unwrap()).unwrap();
        image::load_from_memory(&image).unwrap().to_rgb8()
    };
    let double = sized(json!({})).await;
    assert_eq!(double, RgbImage::from_fn(20, 12, |x, y| *picture.get_pixel(x / 2, y / 2)));
    assert_eq!(sized(json!({"upscaler_1": "None"})).await, picture);
    assert_eq!(sized(json!({"upscaling_resize": 1.5})).await.dimensions(), (15, 9));
    let to = |crop: bool| json!({"resize_mode": 1, "upscaling_resize_w": 40, "upscaling_resize_h": 40, "upscaling_crop": crop});
    assert_eq!(sized(to(true)).await.dimensions(), (40, 40));
    assert_eq!(sized(to(false)).await.dimensions(), (40, 24));
    assert_ne!(sized(json!({"upscaler_1": "Lanczos"})).await, double);
    for (more, named) in [
        (json!({"upscaler_1": "R-ESRGAN 4x+"}), "upscaler_1"),
        (json!({"upscaler_2": "Lanczos"}), "upscaler_2"),
        (json!({"gfpgan_visibility": 1}), "gfpgan_visibility"),
        (json!({"upscaling_resize": 17}), "upscaling_resize"),
        (json!({"resize_mode": 1, "upscaling_resize_w": 16384, "upscaling_resize_h": 16384}), "upscaling_resize_w"),
        (json!({"image": "x"}), "image"),
    ] {
        let wish = with(json!({"image": url(&png(&picture)), "upscaler_1": "Nearest"}), &more);
        let said = refused(&app.post("/sdapi/v1/extra-single-image", &wish).await, 422);
        assert!(said.starts_with(&format!("{named}: ")), "{said}");
    }
    let asked = json!({"image": url(&png(&picture)), "model": "clip"});
    assert!(refused(&app.post("/sdapi/v1/interrogate", &asked).await, 422).contains("describes"));
}
