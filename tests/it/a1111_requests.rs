//! AUTOMATIC1111's dialect: what requests for new pictures mean, and what is answered.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::support::{
    a1111::{files, info, pixels, refused, txt2img, with},
    app::TestApp,
};

#[tokio::test(flavor = "multi_thread")]
async fn seeds_count_from_0_and_drawn_ones_are_told() {
    let app = TestApp::start().await;
    let zero = txt2img(&app, &json!({"seed": 0})).await;
    assert_eq!((&info(&zero)["seed"], &zero.json()["parameters"]["seed"]), (&json!(0), &json!(0)));
    assert_eq!(files(&zero), files(&txt2img(&app, &json!({"seed": 0})).await));
    assert_ne!(pixels(&zero), pixels(&txt2img(&app, &json!({"seed": 1})).await));

    let four = txt2img(&app, &json!({"seed": -1, "batch_size": 2, "n_iter": 2})).await;
    let told = info(&four);
    let seeds: Vec<u64> = told["all_seeds"].as_array().unwrap().iter().map(|seed| seed.as_u64().unwrap()).collect();
    assert_eq!(seeds, (seeds[0]..seeds[0] + 4).collect::<Vec<_>>());
    assert!(seeds[3] < 1 << 53 && told["seed"] == seeds[0] && four.json()["parameters"]["seed"] == seeds[0], "{told}");
    for (at, seed) in [(0, seeds[0]), (3, seeds[3])] {
        assert_eq!(files(&txt2img(&app, &json!({"seed": seed})).await)[0], files(&four)[at]);
    }
    assert_ne!(info(&txt2img(&app, &json!({"seed": -1})).await)["seed"], seeds[0]);
    for (wish, named) in [
        (json!({"seed": -2}), "seed: "),
        (json!({"seed": (1_u64 << 53) - 1, "batch_size": 2}), "seed: "),
        (json!({"batch_size": 4, "n_iter": 5}), "batch_size: "),
    ] {
        let said = refused(&txt2img(&app, &wish).await, 422);
        assert!(said.starts_with(named), "{said}");
    }
}

/// The example of the original's documentation, its placeholders included.
#[tokio::test(flavor = "multi_thread")]
async fn the_documented_example_changes_nothing() {
    let app = TestApp::start().await;
    let plain = files(&txt2img(&app, &json!({"prompt": "a"})).await);
    let example = r#"{
        "prompt": "a", "negative_prompt": "", "styles": ["string"], "subseed": -1, "subseed_strength": 0,
        "seed_resize_from_h": -1, "seed_resize_from_w": -1, "sampler_name": null, "scheduler": null, "batch_size": 1,
        "n_iter": 1, "cfg_scale": 7, "restore_faces": false, "tiling": false, "do_not_save_samples": false,
        "do_not_save_grid": false, "eta": null, "denoising_strength": 0, "s_min_uncond": 0, "s_churn": null, "s_tmax": null,
        "s_tmin": null, "s_noise": null, "override_settings": {}, "override_settings_restore_afterwards": true,
        "refiner_checkpoint": "string", "refiner_switch_at": 0, "disable_extra_networks": false, "firstpass_image": "string",
        "comments": {}, "enable_hr": false, "firstphase_width": 0, "firstphase_height": 0, "hr_scale": 2,
        "hr_upscaler": "string", "hr_second_pass_steps": 0, "hr_resize_x": 0, "hr_resize_y": 0, "hr_checkpoint_name": "string",
        "hr_sampler_name": "string", "hr_scheduler": "string", "hr_prompt": "", "hr_negative_prompt": "",
        "force_task_id": "string", "sampler_index": "Euler", "script_name": null, "script_args": [], "send_images": true,
        "save_images": false, "alwayson_scripts": {}, "infotext": "string"
    }"#;
    let example = serde_json::from_str(example).unwrap();
    assert_eq!(files(&txt2img(&app, &example).await), plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_ask_for_what_is_not_there_are_named() {
    let app = TestApp::start().await;
    let unit = json!({"ControlNet": {"args": [{"enabled": true, "model": "x"}]}});
    let cases = [
        (json!({"enable_hr": true}), "enable_hr"),
        (json!({"restore_faces": true}), "restore_faces"),
        (json!({"tiling": true}), "tiling"),
        (json!({"script_name": "x/y/z plot"}), "script_name"),
        (json!({"alwayson_scripts": unit}), "alwayson_scripts/ControlNet"),
        (json!({"refiner_checkpoint": "x", "refiner_switch_at": 0.8}), "refiner_checkpoint"),
        (json!({"seed_resize_from_w": 16}), "seed_resize_from_w"),
        (json!({"subseed_strength": 0.5, "batch_size": 2}), "subseed_strength"),
        (json!({"subseed_strength": 0.5, "width": 1_000_000, "height": 1_000_000}), "width"),
        (json!({"steps": 0}), "steps"),
        (json!({"steps": "many"}), "steps"),
        (json!({"cfg_scale": 101}), "cfg_scale"),
        (json!({"width": 1.5}), "width"),
        (json!({"override_settings": {"sd_model_checkpoint": "nobody"}}), "override_settings/sd_model_checkpoint"),
        (json!({"override_settings": {"CLIP_stop_at_last_layers": 2}}), "override_settings/CLIP_stop_at_last_layers"),
        (json!({"override_settings": {"eta_noise_seed_delta": 31337}}), "override_settings/eta_noise_seed_delta"),
        (json!({"override_settings": {"no_such": 1}}), "override_settings/no_such"),
        (json!({"promt": "a"}), "promt"),
        (json!({"prompt": "a\0b"}), "prompt"),
        (json!({"init_images": []}), "init_images"),
    ];
    for (wish, named) in cases {
        let said = refused(&txt2img(&app, &wish).await, 422);
        assert!(said.starts_with(&format!("{named}: ")), "{wish}: {said}");
    }
    assert_eq!(app.get("/v1/jobs").await.json()["data"], json!([]), "nothing was stored");
    let idle =
        json!({"ControlNet": {"args": []}, "ADetailer": {"args": [false]}, "Other": {"args": [{"enabled": false}]}});
    assert_eq!(files(&txt2img(&app, &json!({"alwayson_scripts": idle})).await).len(), 1);
    refused(&app.get("/sdapi/v1/no-such").await, 404);
    refused(&app.get("/sdapi/v1/txt2img").await, 405);
    let broken = app.request(reqwest::Method::POST, "/sdapi/v1/txt2img").header("content-type", "application/json");
    refused(&crate::support::app::send(broken.body("{")).await, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_may_come_as_texts() {
    let app = TestApp::start().await;
    let texts = json!({"seed": "7", "steps": "2", "cfg_scale": "7.0", "width": "8", "send_images": "true", "eta": "1"});
    assert_eq!(files(&txt2img(&app, &texts).await), files(&txt2img(&app, &json!({})).await));
    assert_eq!(files(&txt2img(&app, &json!({"send_images": 0})).await), Vec::<Vec<u8>>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variation_lies_between_two_seeds() {
    let app = TestApp::start().await;
    let made = async |wish: Value| pixels(&txt2img(&app, &wish).await).remove(0);
    let (one, other) = (made(json!({"seed": 7})).await, made(json!({"seed": 9})).await);
    let between = async |share: f64| made(json!({"seed": 7, "subseed": 9, "subseed_strength": share})).await;
    assert_eq!(between(0.0).await, one);
    assert_eq!(between(1.0).await, other, "Euler draws nothing else");
    let half = between(0.5).await;
    assert!(half != one && half != other);
    let told = info(&txt2img(&app, &json!({"subseed": 9, "subseed_strength": 0.5})).await);
    assert_eq!(
        (&told["subseed"], &told["all_subseeds"], &told["subseed_strength"]),
        (&json!(9), &json!([9]), &json!(0.5))
    );
}

/// Whatever lines a prompt holds, the last line is the one that counts.
#[tokio::test(flavor = "multi_thread")]
async fn lines_of_a_prompt_are_no_settings() {
    let app = TestApp::start().await;
    let prompt = "heart\nNegative prompt: x\nSteps: 99, Sampler: Foo, Seed: 1, Size: 16x16";
    for format in ["png", "jpg", "webp"] {
        let wish = json!({"prompt": prompt, "negative_prompt": "ugly, \"grey\"", "override_settings": {"samples_format": format}});
        let answer = txt2img(&app, &wish).await;
        let image = answer.json()["images"][0].clone();
        let read = app.post("/sdapi/v1/png-info", &json!({"image": image})).await.json();
        assert_eq!(read["info"], info(&answer)["infotexts"][0], "{format}");
        let said = &read["parameters"];
        assert_eq!((&said["Seed"], &said["Steps"]), (&json!("7"), &json!("2")), "{said}");
        assert_eq!((&said["Size-1"], &said["Size-2"]), (&json!("8"), &json!("8")), "{said}");
        assert_eq!((&said["Prompt"], &said["Negative prompt"]), (&json!(prompt), &json!("ugly, \"grey\"")), "{said}");
        assert_eq!(said["Sampler"], "Euler");
        if format == "png" {
            let request: Value = serde_json::from_str(read["items"]["darkroom"].as_str().unwrap()).unwrap();
            assert_eq!(request["prompt"], prompt);
        }
    }
}

/// The text of a picture makes it again, alone or beside other fields.
#[tokio::test(flavor = "multi_thread")]
async fn an_infotext_fills_in_what_is_left_out() {
    let app = TestApp::start().await;
    for wish in [
        json!({"sampler_name": "DPM++ 2M SDE Heun", "cfg_scale": 3.5}),
        json!({"sampler_name": "Heun", "s_churn": 10, "s_tmax": 5, "s_noise": 0.9}),
        json!({"sampler_name": "DDIM", "eta": 0.5, "scheduler": "Karras"}),
        json!({"sampler_name": "Restart", "steps": 20}),
        json!({"sampler_name": "LCM"}),
    ] {
        let first = txt2img(&app, &with(json!({"prompt": "a\nb", "steps": 5}), &wish)).await;
        let text = info(&first)["infotexts"][0].clone();
        let again = app.post("/sdapi/v1/txt2img", &json!({"infotext": text})).await;
        assert_eq!(files(&again), files(&first), "{text}");
        let other = app.post("/sdapi/v1/txt2img", &json!({"infotext": text, "seed": 8})).await;
        assert_eq!((&info(&other)["seed"], &info(&other)["prompt"]), (&json!(8), &json!("a\nb")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_for_one_request_or_for_all_of_the_caller() {
    let app = TestApp::start().await;
    let format = async |wish: Value| image::guess_format(&files(&txt2img(&app, &wish).await)[0]).unwrap();
    assert_eq!(format(json!({"override_settings": {"samples_format": "webp"}})).await, image::ImageFormat::WebP);
    assert_eq!(format(json!({})).await, image::ImageFormat::Png);
    let set = app.post("/sdapi/v1/options", &json!({"samples_format": "jpg", "jpeg_quality": 50})).await;
    assert_eq!((set.status, set.json()), (200, Value::Null));
    assert_eq!(app.get("/sdapi/v1/options").await.json()["samples_format"], "jpg");
    assert_eq!(format(json!({})).await, image::ImageFormat::Jpeg);
    let shown = app.get("/sdapi/v1/options").await.json();
    assert_eq!(app.post("/sdapi/v1/options", &shown).await.status, 200);
    assert_eq!(app.get("/sdapi/v1/options").await.json(), shown);
    assert!(
        refused(&app.post("/sdapi/v1/options", &json!({"samples_format": "gif"})).await, 422)
            .contains("png, jpg, webp")
    );
}

/// A service that takes long runs, and works on them in short turns.
async fn patient() -> TestApp {
    TestApp::with(|config| {
        config.engine.tick_ms = 1;
        config.limits.row_evaluations = 10_000_000;
    })
    .await
}

/// A long run whose previews come often.
fn long() -> Value {
    json!({"seed": 7, "steps": 1000, "width": 64, "height": 64, "batch_size": 2, "force_task_id": "mine", "sampler_name": "Heun"})
}

/// Waits until something of a run can be seen.
async fn seen(app: &TestApp) -> Value {
    for _ in 0..2000 {
        let told = app.get("/sdapi/v1/progress").await.json();
        if told["current_image"].is_string() {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("no preview came");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_call_gets_what_is_there() {
    let app = patient().await;
    let idle = app.get("/sdapi/v1/progress").await.json();
    assert_eq!((&idle["progress"], &idle["state"]["job_count"]), (&json!(0.0), &json!(0)));
    let request = app.request(reqwest::Method::POST, "/sdapi/v1/txt2img").json(&long());
    let waiting = tokio::spawn(crate::support::app::send(request));
    let told = seen(&app).await;
    assert_eq!((&told["current_task"], &told["state"]["sampling_steps"]), (&json!("mine"), &json!(1000)), "{told}");
    assert!(told["progress"].as_f64().unwrap() > 0.0 && told["eta_relative"].as_f64().unwrap() > 0.0, "{told}");
    let task = app.post("/internal/progress", &json!({"id_task": "mine", "id_live_preview": -1})).await.json();
    assert_eq!((&task["active"], &task["completed"]), (&json!(true), &json!(false)), "{task}");
    assert!(task["live_preview"].as_str().unwrap().starts_with("data:image/png;base64,"));
    assert_eq!(app.post("/sdapi/v1/interrupt", &json!({})).await.json(), json!({}));

    let answer = waiting.await.unwrap();
    assert_eq!(pixels(&answer).iter().map(image::RgbImage::dimensions).collect::<Vec<_>>(), [(64, 64); 2]);
    assert_eq!(info(&answer)["all_seeds"], json!([7, 8]));
    let job = app.get("/v1/jobs").await.json()["data"][0].clone();
    assert_eq!((&job["status"], &job["images"][1]["state"]), (&json!("canceled"), &json!("ready")), "{job}");
    assert!(job["usage"]["evaluations"].as_u64().unwrap() < 2 * 1999, "{job}");
    // Its request makes other pictures, so that they do not claim it.
    let image = BASE64_STANDARD.encode(&files(&answer)[0]);
    assert_eq!(app.post("/sdapi/v1/png-info", &json!({"image": image})).await.json()["items"], json!({}));
    let task = app.post("/internal/progress", &json!({"id_task": "mine"})).await.json();
    assert_eq!(task["completed"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_cancels_its_pictures() {
    let app = patient().await;
    let request = app.request(reqwest::Method::POST, "/sdapi/v1/txt2img").json(&long());
    let waiting = tokio::spawn(crate::support::app::send(request));
    seen(&app).await;
    waiting.abort();
    for _ in 0..1000 {
        let job = app.get("/v1/jobs").await.json()["data"][0].clone();
        if job["status"] != "running" {
            assert_eq!((&job["status"], &job["images"][0]["state"]), (&json!("canceled"), &json!("pending")), "{job}");
            assert_eq!(app.get("/sdapi/v1/progress").await.json()["state"]["job_count"], 0);
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it goes on");
}

/// C16 as its users type it, and weights that count.
#[tokio::test(flavor = "multi_thread")]
async fn prompts_are_read_with_their_weights_and_brackets_never_hang() {
    let app = crate::api_edits::trained().await;
    let wish =
        |prompt: &str| json!({"prompt": prompt, "width": 64, "height": 64, "steps": 2, "seed": 7, "cfg_scale": 3});
    for prompt in ["(".repeat(5000).as_str(), "((((a", "a)))", "(a:)", "(a:1e9)", "[[]]", "BREAK BREAK", r"\(a\)", "\\"]
    {
        let began = std::time::Instant::now();
        let answer = txt2img(&app, &wish(prompt)).await;
        assert_eq!(answer.status, 200, "{prompt:.20}");
        assert!(began.elapsed() < Duration::from_secs(20), "{prompt:.20}: {:?}", began.elapsed());
    }
    let plain = files(&txt2img(&app, &wish("a red heart, twemoji style")).await);
    assert_ne!(files(&txt2img(&app, &wish("a (red:1.4) heart, twemoji style")).await), plain);
    let twice = [wish("a ((red)) heart, twemoji style"), wish("a (red:1.21) heart, twemoji style")];
    let [twice, said] = twice.each_ref().map(|wish| txt2img(&app, wish));
    assert_eq!(pixels(&twice.await), pixels(&said.await));
}
