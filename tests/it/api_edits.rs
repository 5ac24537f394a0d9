//! Edits: what each field means, how many steps run, and what a mask keeps.

use darkroom::{denoiser::Prediction, pixels::latents, process::Named};
use image::RgbImage;
use serde_json::{Value, json};

use crate::support::{
    app::TestApp,
    pictures::{mask, noise, png, psnr, quarters, url, written},
};

/// A picture that the exact model itself made, as a data URL, and its pixels.
async fn own(app: &TestApp) -> (String, RgbImage) {
    let job = app.generate(&json!({"label": 1, "seed": 5, "steps": 20})).await;
    (url(&app.picture(&job, 0).await), app.pixels(&job, 0).await)
}

/// The service with the trained model.
pub async fn trained() -> TestApp {
    TestApp::with(|config| {
        config.models.dir = concat!(env!("CARGO_MANIFEST_DIR"), "/models").into();
        config.models.default = "emoji64".into();
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_field_of_an_edit_is_named() {
    let app = TestApp::start().await;
    let image = url(&png(&quarters(8, 8)));
    let with = |more: Value| {
        let mut body = json!({"image": image});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let cases = [
        (json!({}), "/image"),
        (json!({"image": null}), "/image"),
        (json!({"image": 1}), "/image"),
        (json!({"image": {"file": "x"}}), "/image"),
        (json!({"image": {"image": "x"}}), "/image"),
        (json!({"image": {"image": "0198c0de-0000-7000-8000-000000000000"}}), "/image"),
        (json!({"image": {"blob": "sha256:00"}}), "/image"),
        (json!({"image": {"blob": "sha256:../../x"}}), "/image"),
        (json!({"image": url(b"GIF89a")}), "/image"),
        (with(json!({"mask": "x"})), "/mask"),
        (with(json!({"method": "inpaint"})), "/mask"),
        (with(json!({"method": "inpant"})), "/method"),
        (with(json!({"method": {"name": "inpaint", "resample": 0}})), "/method/resample"),
        (with(json!({"method": {"name": "sdedit", "fether": 1}})), "/method/fether"),
        (with(json!({"method": {"name": "sdedit", "feather": 257}})), "/method/feather"),
        (with(json!({"method": 1})), "/method"),
        (with(json!({"strength": -0.1})), "/strength"),
        (with(json!({"strength": 1.01})), "/strength"),
        (with(json!({"strength": "NaN"})), "/strength"),
        (with(json!({"strength": 1e308})), "/strength"),
        (with(json!({"resize": "fill"})), "/resize"),
        (with(json!({"source_prompt": 1})), "/source_prompt"),
        (with(json!({"source_prompt": "x".repeat(32769)})), "/source_prompt"),
        (with(json!({"source_prompt": "a\0b"})), "/source_prompt"),
        (with(json!({"stength": 1})), "/stength"),
        (with(json!({"steps": 0})), "/steps"),
        (with(json!({"width": 0})), "/width"),
        (with(json!({"sampler": {"name": "usf", "plan": [{"order": 1}, {"order": 2}]}})), "/strength"),
    ];
    for (body, pointer) in cases {
        let answer = app.post("/v1/edits", &body).await;
        let pointers = answer.pointers();
        assert!(answer.status == 422 && pointers.contains(&pointer.to_owned()), "{body}: {}", answer.json());
    }
    let many = app.post("/v1/edits", &json!({"stength": 1, "steps": 0, "method": "inpant", "strength": 2})).await;
    let mut pointers = many.pointers();
    pointers.sort();
    assert_eq!(pointers, ["/image", "/method", "/stength", "/steps", "/strength"]);
    assert!(many.json().to_string().contains("did you mean `strength`?"), "{}", many.json());
    assert_eq!(app.get("/v1/jobs").await.json()["data"], json!([]), "nothing was stored");
    assert_eq!(app.post("/v1/edits", &json!({"image": image, "model": "x"})).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_default_is_filled_in_and_the_request_posts_back() {
    let app = TestApp::start().await;
    let image = url(&png(&noise(20, 12)));
    let job = app.edit(&json!({"image": image, "source_prompt": "noise"})).await;
    let request = &job["request"];
    assert_eq!(job["kind"], "edit");
    assert_eq!((&request["method"]["name"], &request["method"]["feather"]), (&json!("sdedit"), &json!(0)));
    assert_eq!((&request["strength"], &request["resize"]), (&json!(0.8), &json!("crop")));
    assert_eq!((&request["width"], &request["height"]), (&json!(8), &json!(8)));
    assert!(request["image"]["blob"].as_str().unwrap().starts_with("sha256:"), "{request}");
    assert_eq!(job["warnings"][0]["pointer"], "/source_prompt");
    assert_eq!(job["usage"]["evaluations"], 16);
    let again = app.edit(request).await;
    assert_eq!(again["request"], *request);
    assert_eq!(app.picture(&again, 0).await, app.picture(&job, 0).await);
    // A list, a look and a filter know it as what it is.
    assert_eq!(app.get("/v1/jobs?kind=edit").await.json()["data"].as_array().unwrap().len(), 2);
    assert_eq!(app.get("/v1/jobs?kind=generation").await.json()["data"], json!([]));

    let white = url(&png(&mask(20, 12, |_, _| true)));
    let masked = app.edit(&json!({"image": image, "mask": white})).await;
    assert_eq!(
        (&masked["request"]["method"]["name"], &masked["request"]["strength"]),
        (&json!("inpaint"), &json!(1.0))
    );
    assert_eq!(masked["usage"]["evaluations"], 20);
    // The picture says how it was made, but names no blob.
    let text = String::from_utf8_lossy(&app.picture(&masked, 0).await).into_owned();
    assert!(text.contains("\"resize\":\"crop\"") && text.contains("Denoising strength: 1"), "{text}");
    assert!(!text.contains("sha256:"));
}

/// C26, C28, C29 and D3
#[tokio::test(flavor = "multi_thread")]
async fn strength_counts_the_steps_that_run() {
    let app = TestApp::start().await;
    let (image, _) = own(&app).await;
    let cases = [
        ("ddim", 0.29, 100, 29),
        ("ddim", 0.57, 100, 57),
        ("ddim", 0.3, 10, 3),
        ("ddim", 0.5, 7, 3),
        ("ddim", 0.75, 50, 37),
        ("ddim", 1.0, 50, 50),
        ("ddim", 0.01, 15, 1),
        ("ddim", 0.05, 15, 1),
        ("ddim", 0.07, 15, 1),
        ("ddim", 0.0, 15, 0),
        ("heun", 0.5, 10, 9),
        ("dpmpp_2m_sde", 0.5, 10, 5),
    ];
    for (sampler, strength, steps, evaluations) in cases {
        let body = json!({"image": image, "sampler": sampler, "strength": strength, "steps": steps, "count": 2});
        let job = app.edit(&body).await;
        let all = 2 * evaluations;
        assert_eq!(job["usage"]["evaluations"], all, "{body}");
        assert_eq!(job["progress"], json!({"evaluations": all, "of": all}), "{body}");
        for event in app.events(job["id"].as_str().unwrap(), None).await {
            let progress = if event.event == "progress" { &event.data } else { &event.data["progress"] };
            assert!(progress.is_null() || progress["of"] == all, "{event:?}");
        }
    }
    let levels = json!({"name": "custom", "timesteps": [900, 700, 500, 300, 100, 50]});
    let own = app.edit(&json!({"image": image, "schedule": levels, "sampler": "ddim", "strength": 0.5})).await;
    assert_eq!((&own["usage"]["evaluations"], &own["request"]["steps"]), (&json!(3), &json!(null)));
    for (sampler, evaluations) in [("dpmpp_2m", 10), ("euler", 10), ("heun", 19), ("lms", 10)] {
        let body = json!({"image": image, "sampler": sampler, "strength": 0.1, "steps": 100, "schedule": "karras"});
        assert_eq!(app.edit(&body).await["usage"]["evaluations"], evaluations, "{sampler}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn little_strength_changes_little_and_none_changes_nothing() {
    let app = TestApp::start().await;
    let (image, before) = own(&app).await;
    let untouched = app.edit(&json!({"image": image, "strength": 0})).await;
    // The exact model's pictures are its latents, up to eight bits.
    assert_eq!(app.pixels(&untouched, 0).await, before);
    let mut nearest = f64::INFINITY;
    for strength in [0.05, 0.2, 0.5, 1.0] {
        let job = app.edit(&json!({"image": image, "strength": strength, "steps": 20, "seed": 1})).await;
        let near = psnr(&app.pixels(&job, 0).await, &before);
        assert!(near < nearest, "{strength}: {near} dB after {nearest} dB");
        assert!(near > 15.0 || strength > 0.1, "{strength}: {near} dB");
        nearest = near;
    }
}

/// D3
#[tokio::test(flavor = "multi_thread")]
async fn full_strength_is_the_seeds_own_noise() {
    let app = TestApp::start().await;
    for sampler in ["ddim", "euler_a", "dpmpp_2m_sde", "heun", "usf"] {
        let wish = json!({"label": 2, "seed": 9, "steps": 8, "sampler": sampler, "count": 2});
        let made = app.generate(&wish).await;
        let mut body = wish.clone();
        body["strength"] = json!(1);
        body["image"] = json!(url(&png(&noise(8, 8))));
        let edited = app.edit(&body).await;
        body["mask"] = json!(url(&png(&mask(8, 8, |_, _| true))));
        let inpainted = app.edit(&body).await;
        for index in 0..2 {
            let wanted = app.pixels(&made, index).await;
            assert_eq!(app.pixels(&edited, index).await, wanted, "{sampler}: sdedit");
            assert_eq!(app.pixels(&inpainted, index).await, wanted, "{sampler}: inpaint with nothing to keep");
        }
    }
}

/// C31, D14
#[tokio::test(flavor = "multi_thread")]
async fn what_a_mask_keeps_comes_back_to_the_byte() {
    let app = TestApp::start().await;
    let (picture, inside) = (noise(8, 8), |x: u32, y: u32| (2..6).contains(&x) && (2..6).contains(&y));
    let (image, masked) = (url(&png(&picture)), url(&png(&mask(8, 8, inside))));
    for method in
        [json!("inpaint"), json!("sdedit"), json!({"name": "inpaint", "resample": 3, "jump": 2, "noise": "fresh"})]
    {
        for sampler in ["ddim", "euler_a", "heun", "dpmpp_2m"] {
            let body =
                json!({"image": image, "mask": masked, "method": method, "sampler": sampler, "steps": 8, "count": 2});
            let job = app.edit(&body).await;
            for index in 0..2 {
                let found = app.pixels(&job, index).await;
                let changed =
                    |(x, y, pixel): (u32, u32, &image::Rgb<u8>)| (pixel != picture.get_pixel(x, y)).then_some((x, y));
                let changed: Vec<_> = found.enumerate_pixels().filter_map(changed).collect();
                assert!(changed.iter().all(|(x, y)| inside(*x, *y)), "{method} {sampler}: {changed:?}");
                assert!(changed.len() > 8, "{method} {sampler}: only {changed:?} changed");
            }
        }
    }
    let job = app.edit(&json!({"image": image, "mask": url(&png(&mask(8, 8, |_, _| false)))})).await;
    assert_eq!(app.pixels(&job, 0).await, picture, "a black mask keeps all of it");
    // Grey is half of each, a feather reaches as far as it says.
    let wish = |mask: &RgbImage, feather: u32| {
        let method = json!({"name": "sdedit", "feather": feather});
        json!({"image": image, "mask": url(&png(mask)), "method": method, "seed": 3, "steps": 4})
    };
    let whole = app.edit(&wish(&mask(8, 8, |_, _| true), 0)).await;
    let whole = app.pixels(&whole, 0).await;
    let half = app.edit(&wish(&RgbImage::from_pixel(8, 8, image::Rgb([128; 3])), 0)).await;
    for (found, (new, old)) in app.pixels(&half, 0).await.pixels().zip(whole.pixels().zip(picture.pixels())) {
        let blend = f64::from(new.0[0]) * 128.0 / 255.0 + f64::from(old.0[0]) * 127.0 / 255.0;
        assert!((f64::from(found.0[0]) - blend).abs() < 1.0, "{found:?} of {new:?} and {old:?}");
    }
    let soft = app.edit(&wish(&mask(8, 8, |x, _| x >= 6), 2)).await;
    let soft = app.pixels(&soft, 0).await;
    let differs = |x: u32| (0..8).any(|y| soft.get_pixel(x, y) != picture.get_pixel(x, y));
    assert_eq!((0..8).map(differs).collect::<Vec<_>>(), [false, false, false, false, true, true, true, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sampler_edits_and_inpaints() {
    let app = TestApp::start().await;
    let image = url(&png(&noise(8, 8)));
    let masked = url(&png(&mask(8, 8, |x, _| x < 4)));
    for sampler in darkroom::sampler::SAMPLERS {
        let name = sampler.entry.name;
        let edit = json!({"image": image, "sampler": name, "steps": 6, "strength": 0.5, "label": 1, "guidance": 2});
        let job = app.edit(&edit).await;
        let of = job["progress"]["of"].as_u64();
        assert!(of.is_none_or(|of| of == job["usage"]["evaluations"]), "{name}: {job}");
        let mut body = edit.clone();
        body["mask"] = json!(masked);
        body["strength"] = json!(1);
        let job = app.edit(&body).await;
        let of = job["progress"]["of"].as_u64();
        assert!(of.is_none_or(|of| of == job["usage"]["evaluations"]), "{name}: {job}");
    }
}

/// The kept part is the picture in the latents too, whatever lies between them and the solver's states.
#[tokio::test(flavor = "multi_thread")]
async fn inpainting_holds_what_it_keeps_on_every_process() {
    let processes = [
        (Named::ScaledLinear, Prediction::Epsilon),
        (Named::Ve, Prediction::Sample),
        (Named::Flow, Prediction::Flow),
        (Named::MeanReverting, Prediction::Epsilon),
        (Named::Residual, Prediction::Residual),
        (Named::Resfusion, Prediction::ResidualNoise),
    ];
    let picture = image::imageops::colorops::grayscale(&noise(8, 8));
    let kept: Vec<f32> = picture.pixels().map(|pixel| f32::from(pixel.0[0]) / 127.5 - 1.0).collect();
    let image = url(&written(&picture.into()));
    let masked = url(&png(&mask(8, 8, |x, _| x >= 4)));
    for (process, prediction) in processes {
        let app = TestApp::with(|config| {
            config.models.gaussian.process = process;
            config.models.gaussian.prediction = prediction;
        })
        .await;
        for (sampler, method) in [
            ("ddim", json!("inpaint")),
            ("ddpm", json!({"name": "inpaint", "noise": "fresh", "resample": 2, "jump": 1})),
        ] {
            let job = app
                .edit(&json!({"image": image, "mask": masked, "method": method, "steps": 4, "sampler": sampler,
                    "output": {"format": "safetensors"}}))
                .await;
            let file = app.get(job["files"][0]["url"].as_str().unwrap()).await.body;
            let found = latents::read(&file, [1, 8, 8]).unwrap();
            let off = |at: usize| (found[at] - kept[at]).abs();
            let most = (0..64).filter(|at| at % 8 < 4).map(off).fold(0.0, f32::max);
            assert!(most < 1e-3, "{process:?} {sampler}: {most:e}");
            assert!((0..64).filter(|at| at % 8 >= 4).any(|at| off(at) > 0.1), "{process:?} {sampler}: nothing changed");
        }
        let untouched = app.edit(&json!({"image": image, "strength": 0, "output": {"format": "safetensors"}})).await;
        let file = app.get(untouched["files"][0]["url"].as_str().unwrap()).await.body;
        let found = latents::read(&file, [1, 8, 8]).unwrap();
        assert!(found.iter().zip(&kept).all(|(found, kept)| (found - kept).abs() < 1e-6), "{process:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_are_listed_with_what_they_go_with() {
    let app = TestApp::start().await;
    let list = app.get("/v1/edit-methods").await;
    assert!(!list.header("etag").is_empty());
    let list = list.json();
    let named =
        |name: &str| list["data"].as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap().clone();
    let (sdedit, inpaint) = (named("sdedit"), named("inpaint"));
    assert_eq!((&sdedit["needs_mask"], &sdedit["strength"]), (&json!(false), &json!(0.8)));
    assert_eq!((&inpaint["needs_mask"], &inpaint["strength"]), (&json!(true), &json!(1.0)));
    let samplers = sdedit["samplers"].as_array().unwrap();
    assert!(samplers.len() == darkroom::sampler::SAMPLERS.len() && samplers.contains(&json!("heun")), "{samplers:?}");
    assert!(inpaint["options"]["properties"]["feather"]["description"].as_str().unwrap().contains("tent"), "D18");
}

/// C28, C31 and D3 on trained weights, whose autoencoder loses a little.
#[tokio::test(flavor = "multi_thread")]
async fn a_trained_model_keeps_what_it_should() {
    let app = trained().await;
    let heart = app.generate(&json!({"prompt": "a red heart, twemoji style", "seed": 7, "steps": 12})).await;
    let image = json!({"image": heart["images"][0]["id"]});
    let before = app.pixels(&heart, 0).await;
    let round_trip = app.edit(&json!({"image": image, "strength": 0})).await;
    assert_eq!(
        round_trip["usage"],
        json!({"evaluations": 0, "rows": 0, "queue_ms": round_trip["usage"]["queue_ms"],
        "run_ms": round_trip["usage"]["run_ms"]})
    );
    let round_trip = app.pixels(&round_trip, 0).await;
    let kept = psnr(&round_trip, &before);
    println!("round trip {kept:.1} dB");
    assert!(kept > 25.0, "the autoencoder alone loses more than it should: {kept} dB");
    for (strength, steps) in [(0.01, 15), (0.05, 15), (0.07, 15)] {
        let job = app.edit(&json!({"image": image, "strength": strength, "steps": steps, "seed": 7})).await;
        let near = psnr(&app.pixels(&job, 0).await, &round_trip);
        println!("strength {strength}: {near:.1} dB to the round trip");
        assert!(job["usage"]["evaluations"] == 1 && near > 15.0, "{strength}: {near} dB");
    }
    for sampler in ["dpmpp_2m", "euler", "heun", "lms"] {
        let body =
            json!({"image": image, "steps": 100, "strength": 0.1, "schedule": "karras", "sampler": sampler, "seed": 7});
        let job = app.edit(&body).await;
        let near = psnr(&app.pixels(&job, 0).await, &before);
        println!("{sampler}, the last 10 of 100 karras steps: {near:.1} dB to the picture");
        assert!(near > 15.0, "{sampler}: {near} dB");
    }
    let picture = noise(64, 64);
    let inside = |x: u32, y: u32| (24..40).contains(&x) && (24..40).contains(&y);
    let (image, masked) = (url(&png(&picture)), url(&png(&mask(64, 64, inside))));
    for (method, sampler) in [("inpaint", "ddim"), ("inpaint", "euler_a"), ("inpaint", "heun"), ("sdedit", "dpmpp_2m")]
    {
        let body = json!({"image": image, "mask": masked, "method": method, "sampler": sampler, "steps": 4, "seed": 7,
            "prompt": "a red heart, twemoji style"});
        let job = app.edit(&body).await;
        let found = app.pixels(&job, 0).await;
        let outside = found.enumerate_pixels().filter(|(x, y, _)| !inside(*x, *y));
        assert!(outside.into_iter().all(|(x, y, pixel)| pixel == picture.get_pixel(x, y)), "{method} {sampler}");
        let changed = found.enumerate_pixels().filter(|(x, y, pixel)| *pixel != picture.get_pixel(*x, *y)).count();
        assert!(changed > 200, "{method} {sampler}: {changed} pixels changed");
    }
}
