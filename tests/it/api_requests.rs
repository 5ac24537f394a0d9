//! The fields of a generation: what each may be, what is refused, and what an accepted one means.

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::support::app::{TestApp, send};

#[tokio::test(flavor = "multi_thread")]
async fn every_class_of_malformed_field_is_named() {
    let app = TestApp::start().await;
    let cases = [
        // Of the wrong type.
        (json!([]), ""),
        (json!("x"), ""),
        (json!({"model": 1}), "/model"),
        (json!({"label": "1"}), "/label"),
        (json!({"prompt": 1}), "/prompt"),
        (json!({"negative_prompt": ["x"]}), "/negative_prompt"),
        (json!({"count": "4"}), "/count"),
        (json!({"seed": "7"}), "/seed"),
        (json!({"seed": true}), "/seed"),
        (json!({"width": 8.5}), "/width"),
        (json!({"steps": {}}), "/steps"),
        (json!({"sampler": 1}), "/sampler"),
        (json!({"sampler": {}}), "/sampler/name"),
        (json!({"sampler": {"name": 1}}), "/sampler/name"),
        (json!({"sampler": {"name": "ddim", "eta": "x"}}), "/sampler/eta"),
        (json!({"schedule": []}), "/schedule"),
        (json!({"guidance": [1]}), "/guidance"),
        (json!({"guidance": true}), "/guidance"),
        (json!({"output": "png"}), "/output"),
        (json!({"output": {"format": 1}}), "/output/format"),
        (json!({"latents": 1}), "/latents"),
        (json!({"latents": {"blob": 1}}), "/latents"),
        (json!({"metadata": []}), "/metadata"),
        (json!({"metadata": {"a": 1}}), "/metadata/a"),
        // Out of range.
        (json!({"label": 4}), "/label"),
        (json!({"label": -1}), "/label"),
        (json!({"count": 0}), "/count"),
        (json!({"count": 17}), "/count"),
        (json!({"count": 1e20}), "/count"),
        (json!({"seed": -1}), "/seed"),
        (json!({"width": 0}), "/width"),
        (json!({"height": -8}), "/height"),
        (json!({"clip_skip": 1}), "/clip_skip"),
        (json!({"steps": 0}), "/steps"),
        (json!({"steps": 1001}), "/steps"),
        (json!({"guidance": -1}), "/guidance"),
        (json!({"guidance": 101}), "/guidance"),
        (json!({"guidance": {"name": "cfg", "scale": 101}}), "/guidance/scale"),
        (json!({"output": {"quality": 0}}), "/output/quality"),
        (json!({"output": {"quality": 101}}), "/output/quality"),
        (json!({"preview_every": -1}), "/preview_every"),
        (json!({"priority": 11}), "/priority"),
        (json!({"priority": -11}), "/priority"),
        (json!({"metadata": {"a": "x".repeat(513)}}), "/metadata/a"),
        (json!({"metadata": {"é".repeat(33): "x"}}), &format!("/metadata/{}", "é".repeat(33))),
        // Unknown words.
        (json!({"widht": 8}), "/widht"),
        (json!({"webhook": {"url": "x"}}), "/webhook/url"),
        (json!({"webhook": {"url": "https://x.org", "evens": []}}), "/webhook/evens"),
        (json!({"strength": 0.5}), "/strength"),
        (json!({"prompt_syntax": "wieghted"}), "/prompt_syntax"),
        (json!({"sampler": "dimm"}), "/sampler"),
        (json!({"sampler": {"name": "dimm"}}), "/sampler/name"),
        (json!({"sampler": {"name": "ddim", "etta": 1}}), "/sampler/etta"),
        (json!({"sampler": {"name": "ddpm", "variance": "learned"}}), "/sampler/variance"),
        (json!({"sampler": {"name": "ddim", "wrap": 1}}), "/sampler/wrap"),
        (json!({"schedule": "karas"}), "/schedule"),
        (json!({"guidance": "cgf"}), "/guidance"),
        (json!({"guidance": "NaN"}), "/guidance"),
        (json!({"output": {"format": "gif"}}), "/output/format"),
        (json!({"output": {"fromat": "png"}}), "/output/fromat"),
        // D9
        (json!({"prompt": "a\0b"}), "/prompt"),
        (json!({"metadata": {"a": "\0"}}), "/metadata/a"),
    ];
    for (body, pointer) in cases {
        let answer = app.post("/v1/generations", &body).await;
        let wanted = (422, vec![pointer.to_owned()]);
        assert_eq!((answer.status, answer.pointers()), wanted, "{body}: {}", answer.json());
        assert_eq!(answer.json()["code"], "invalid_request");
    }
    assert_eq!(app.get("/v1/jobs").await.json()["data"], json!([]), "nothing was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_are_reported_together_with_the_nearest_names() {
    let app = TestApp::start().await;
    let body = json!({"count": 17, "steps": 0, "promt": "x", "sampler": "hun", "guidance": 101, "label": 9,
        "metadata": (0..17).map(|k| (k.to_string(), "x".into())).collect::<serde_json::Map<String, Value>>()});
    let answer = app.post("/v1/generations", &body).await;
    let mut pointers = answer.pointers();
    pointers.sort();
    assert_eq!(pointers, ["/count", "/guidance", "/label", "/metadata", "/promt", "/sampler", "/steps"]);
    let text = answer.json().to_string();
    assert!(text.contains("did you mean `prompt`?") && text.contains("did you mean `heun`?"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_model_is_404_and_names_the_known_ones() {
    let app = TestApp::start().await;
    let answer = app.post("/v1/generations", &json!({"model": "gausian"})).await;
    let problem = answer.json();
    assert_eq!((answer.status, &problem["code"]), (404, &json!("model_not_found")));
    assert_eq!(answer.pointers(), ["/model"]);
    assert_eq!(problem["error"]["param"], "model");
    assert!(problem["detail"].as_str().unwrap().contains("did you mean `gaussian`?"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn null_means_left_out_and_integral_numbers_are_integers() {
    let app = TestApp::start().await;
    let nulls = json!({"label": null, "prompt": null, "count": null, "sampler": null, "output": null, "metadata": null, "seed": 1});
    let plain = app.submit(&json!({"seed": 1})).await["request"].clone();
    assert_eq!(app.submit(&nulls).await["request"], plain);
    // D11
    let body = r#"{"seed": 1.0, "steps": 4.0, "count": 2e0, "sampler": {"name": "ddim", "eta": 1}}"#;
    let request = app.post_text(body).await.json()["request"].clone();
    assert_eq!((&request["seed"], &request["steps"], &request["count"]), (&json!(1), &json!(4), &json!(2)));
}

/// C10, C11
#[tokio::test(flavor = "multi_thread")]
async fn seeds_are_kept_exactly() {
    let app = TestApp::start().await;
    let one = app.generate(&json!({"seed": 0, "steps": 4})).await;
    let two = app.generate(&json!({"seed": 0, "steps": 4})).await;
    assert_eq!((&one["request"]["seed"], &one["images"][0]["seed"]), (&json!(0), &json!(0)));
    assert_eq!(app.picture(&one, 0).await, app.picture(&two, 0).await);

    let answer = app.post_text(r#"{"seed": 6687881544318117707}"#).await;
    assert_eq!((answer.status, answer.pointers()), (422, vec!["/seed".to_owned()]));
    let last = (1_u64 << 53) - 1;
    let answer = app.post("/v1/generations", &json!({"seed": last, "count": 2})).await;
    assert_eq!((answer.status, answer.pointers()), (422, vec!["/seed".to_owned()]));
    assert_eq!(app.generate(&json!({"seed": last, "steps": 4})).await["images"][0]["seed"], last);

    let drawn = app.submit(&json!({})).await["request"]["seed"].as_u64().unwrap();
    let again = app.submit(&json!({})).await["request"]["seed"].as_u64().unwrap();
    assert!(drawn <= last && again <= last && drawn != again);
}

#[tokio::test(flavor = "multi_thread")]
async fn picture_k_is_picture_0_of_the_seed_plus_k() {
    let app = TestApp::start().await;
    let many = app.generate(&json!({"seed": 40, "count": 3, "steps": 6, "sampler": "euler_a"})).await;
    let alone = app.generate(&json!({"seed": 42, "steps": 6, "sampler": "euler_a"})).await;
    assert_eq!(many["images"][2]["seed"], 42);
    let (of_many, alone) = (app.picture(&many, 2).await, app.picture(&alone, 0).await);
    // D6: the bytes too, because each carries the request that makes it alone.
    assert_eq!(of_many, alone);
}

/// C13
#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_multiples_within_the_limit() {
    let app = TestApp::with(|config| config.limits.pixels = 400).await;
    let job = app.generate(&json!({"width": 10, "height": 6, "steps": 2})).await;
    assert_eq!((&job["images"][0]["width"], &job["images"][0]["height"]), (&json!(10), &json!(6)));
    let answer = app.post("/v1/generations", &json!({"width": 21, "height": 20})).await;
    assert_eq!((answer.status, answer.pointers()), (422, vec!["/width".to_owned()]));
    assert!(answer.json()["detail"].as_str().unwrap().contains("420 pixels"), "{}", answer.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn work_and_prompts_are_limited_with_the_computed_number() {
    let app = TestApp::with(|config| {
        config.limits.row_evaluations = 1000;
        config.limits.prompt_bytes = 10;
    })
    .await;
    // 2 pictures x 2 rows x 250 steps x (16 x 8) / (8 x 8) = 2000.
    let body = json!({"count": 2, "guidance": 3, "label": 1, "sampler": "ddim", "steps": 250, "width": 16});
    let answer = app.post("/v1/generations", &body).await;
    assert_eq!((answer.status, answer.pointers()), (422, vec!["/steps".to_owned()]));
    assert!(answer.json()["detail"].as_str().unwrap().contains("2000"), "{}", answer.json());
    let mut half = body.clone();
    half["steps"] = 125.into();
    assert_eq!(app.post("/v1/generations", &half).await.status, 202);

    let answer = app.post("/v1/generations", &json!({"prompt": "ééééé", "negative_prompt": "éééééé"})).await;
    assert_eq!(answer.pointers(), ["/negative_prompt"], "bytes, not characters");
}

/// C14
#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_not_finite_are_refused() {
    let app = TestApp::start().await;
    for (number, pointer) in [
        ("1e999", "/guidance"),
        ("-1e999", "/guidance"),
        ("1e308", "/guidance"),
        ("-1e308", "/guidance"),
        ("1e39", "/guidance"),
    ] {
        let answer = app.post_text(format!(r#"{{"guidance": {number}}}"#)).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec![pointer.to_owned()]), "{number}");
        let answer = app.post_text(format!(r#"{{"guidance": {{"name": "cfg", "scale": {number}}}}}"#)).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec![format!("{pointer}/scale")]), "{number}");
    }
    assert_eq!(app.post_text(r#"{"guidance": Infinity}"#).await.status, 400);
    app.generate(&json!({"steps": 2})).await;
    assert_eq!(app.get("/livez").await.status, 200);
}

/// C16
#[tokio::test(flavor = "multi_thread")]
async fn odd_prompts_are_plain_text() {
    let app = TestApp::start().await;
    for prompt in [
        "(",
        &"(".repeat(50),
        &"(".repeat(5000),
        "((((a",
        "a)))",
        "(a:)",
        "(a:1e9)",
        r"\(a\)",
        "赤いハート ❤️ é \u{1f98a}",
    ] {
        let began = Instant::now();
        let job = app.generate(&json!({"prompt": prompt, "steps": 2})).await;
        assert_eq!(job["request"]["prompt"], *prompt);
        assert!(began.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_text_says_that_it_ignores_prompts() {
    let app = TestApp::start().await;
    let job = app.submit(&json!({"prompt": "a heart", "negative_prompt": "blur"})).await;
    let pointers: Vec<_> = job["warnings"].as_array().unwrap().iter().map(|warning| &warning["pointer"]).collect();
    assert_eq!(pointers, ["/prompt", "/negative_prompt"]);
    assert_eq!(app.submit(&json!({})).await["warnings"], json!([]));
}

/// C25
#[tokio::test(flavor = "multi_thread")]
async fn every_number_of_steps_works() {
    let app = TestApp::start().await;
    for sampler in ["ddim", "ddpm"] {
        for steps in [1, 2, 3, 9, 27, 999, 1000] {
            let body = json!({"sampler": sampler, "schedule": "leading", "steps": steps, "seed": 7});
            let job = app.generate(&body).await;
            assert_eq!(job["usage"]["evaluations"], steps, "{sampler}");
        }
    }
    assert_eq!(
        app.post("/v1/generations", &json!({"sampler": "ddim", "schedule": "leading", "steps": 1001})).await.pointers(),
        ["/steps"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_of_a_job_makes_the_same_picture() {
    let app = TestApp::start().await;
    let body = json!({"label": 2, "guidance": 2.5, "sampler": "heun", "schedule": "karras", "steps": 7, "metadata": {"k": "v"},
        "output": {"format": "webp", "quality": 70}});
    let first = app.generate(&body).await;
    let second = app.generate(&first["request"]).await;
    assert_eq!(first["request"], second["request"]);
    assert_eq!(app.picture(&first, 0).await, app.picture(&second, 0).await);
    assert_eq!((&first["metadata"]["k"], &first["images"][0]["content_type"]), (&json!("v"), &json!("image/webp")));
}

#[tokio::test(flavor = "multi_thread")]
async fn latents_come_out_and_go_in() {
    let app = TestApp::start().await;
    let out = app.generate(&json!({"seed": 5, "steps": 4, "count": 2, "output": {"format": "safetensors"}})).await;
    assert_eq!(
        (&out["images"], &out["files"][1]["seed"], &out["files"][1]["kind"]),
        (&json!([]), &json!(6), &json!("latents"))
    );
    let url = out["files"][0]["url"].as_str().unwrap();
    let file = app.get(url).await;
    assert_eq!((file.status, file.header("content-type")), (200, "application/vnd.safetensors"));
    let tag = file.header("etag").to_owned();
    assert_eq!(send(app.request(reqwest::Method::GET, url).header("if-none-match", tag)).await.status, 304);

    // C49's manners: all of these are the same noise, and the job names it by its hash.
    let text = BASE64_STANDARD.encode(&file.body);
    let lines: Vec<_> = text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let id = out["files"][0]["id"].as_str().unwrap();
    let mut forms = vec![
        json!(text),
        json!(text.trim_end_matches('=')),
        json!(lines.join("\r\n")),
        json!(format!("data:application/vnd.safetensors;base64,{text}")),
        json!(format!("data:;base64,{text}")),
        json!({"file": id}),
    ];
    let mut pictures = Vec::new();
    while let Some(form) = forms.pop() {
        let job = app.generate(&json!({"latents": form, "seed": 1, "steps": 3})).await;
        let blob = job["request"]["latents"]["blob"].as_str().unwrap().to_owned();
        assert!(blob.starts_with("sha256:"), "{blob}");
        if pictures.is_empty() {
            forms.push(json!({"blob": blob}));
        }
        pictures.push(app.picture(&job, 0).await);
    }
    assert_eq!(pictures.len(), 7);
    assert!(pictures.iter().all(|picture| *picture == pictures[0]));
    let without = app.generate(&json!({"seed": 1, "steps": 3})).await;
    assert_ne!(app.picture(&without, 0).await, pictures[0]);
}

/// C59
#[tokio::test(flavor = "multi_thread")]
async fn latents_that_lie_about_themselves_are_refused() {
    let app = TestApp::start().await;
    let file = |header: &str, data: &[u8]| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        BASE64_STANDARD.encode(bytes)
    };
    let entry = |shape: &str, offsets: &str| {
        format!(r#"{{"latents":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    let zeros = vec![0_u8; 256];
    let nan = f32::NAN.to_le_bytes().repeat(64);
    let bad = [
        file(&entry("[4294967296,4294967296]", "[0,0]"), &[]),
        BASE64_STANDARD.encode([0xff; 8]),
        file(&entry("[1,8,8]", "[0,256]"), &zeros[..200]),
        file(&entry("[1,8,8]", "[256,0]"), &zeros),
        file(&entry("[-1]", "[0,4]"), &zeros),
        file(&entry("[1,8,9]", "[0,288]"), &[0; 288]),
        file(
            r#"{"latents":{"dtype":"F32","shape":[1,8,8],"data_offsets":[0,256]},"b":{"dtype":"F32","shape":[1,8,8],"data_offsets":[0,256]}}"#,
            &zeros,
        ),
        file(r#"{"noise":{"dtype":"F32","shape":[1,8,8],"data_offsets":[0,256]}}"#, &zeros),
        file(&entry("[1,8,8]", "[0,256]"), &nan),
        "////".into(),
        "a b c".into(),
        "AA-_".into(),
        String::new(),
        "data:;base64,".into(),
        "data:text/plain,hello".into(),
    ];
    for latents in bad {
        let answer = app.post("/v1/generations", &json!({"latents": latents})).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec!["/latents".to_owned()]), "{latents}");
    }
    for missing in [
        json!({"file": "01890000-0000-7000-8000-000000000000"}),
        json!({"file": "x"}),
        json!({"blob": "sha256:00"}),
        json!({"blob": format!("sha256:{}", "0".repeat(64))}),
    ] {
        let answer = app.post("/v1/generations", &json!({"latents": missing})).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec!["/latents".to_owned()]), "{missing}");
    }
    let good = file(&entry("[1,8,8]", "[0,256]"), &zeros);
    assert_eq!(app.post("/v1/generations", &json!({"latents": good, "count": 2})).await.pointers(), ["/count"]);
    app.generate(&json!({"latents": good, "steps": 2})).await;
}
