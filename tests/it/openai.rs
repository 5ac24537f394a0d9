//! OpenAI's dialect: what each field means, what is refused and how, and that answers keep to OpenAI's description.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use darkroom::pixels::latents;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    app::{TestApp, send},
    openai::{conforms, pictures, pixels, post, refusal, wish},
};

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_those_of_the_native_api() {
    let app = TestApp::start().await;
    let more = json!({"n": 2, "size": "16x8", "guidance_scale": 2, "negative_prompt": "b", "sampler": {"name": "ddim", "eta": 0.5},
        "schedule": "karras", "priority": 3, "metadata": {"a": "1"}, "user": "me", "safety_identifier": "s"});
    let answer = post(&app, "generations", wish(more)).await;
    let document = answer.json();
    let native = app
        .generate(
            &json!({"prompt": "a", "negative_prompt": "b", "count": 2, "steps": 4, "label": 1, "seed": 7, "width": 16,
            "height": 8, "guidance": 2, "sampler": {"name": "ddim", "eta": 0.5}, "schedule": "karras", "priority": 3,
            "output": {"quality": 100}, "metadata": {"a": "1", "user": "me", "safety_identifier": "s"}}),
        )
        .await;
    let made = pictures(&answer);
    assert_eq!(made, [app.picture(&native, 0).await, app.picture(&native, 1).await]);
    let job = app.get(&format!("/v1/jobs/{}", document["job"].as_str().unwrap())).await.json();
    assert_eq!(job["request"], native["request"]);
    assert_eq!((&document["data"][0]["seed"], &document["data"][1]["seed"]), (&json!(7), &json!(8)));
    assert_eq!((&document["size"], &document["quality"]), (&json!("16x8"), &json!("low")));
    let usage = &document["usage"];
    assert_eq!(
        (&usage["input_tokens"], &usage["output_tokens"], &usage["total_tokens"]),
        (&json!(0), &json!(8), &json!(8))
    );
    let again = app.get("/v1/jobs?metadata.user=me").await.json();
    assert_eq!(again["data"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_field_is_a_400_under_its_name() {
    let app = TestApp::start().await;
    let long = "x".repeat(600);
    let cases = [
        (json!({"prompt": null}), "prompt"),
        (json!({"prompt": ""}), "prompt"),
        (json!({"prompt": 1}), "prompt"),
        (json!({"prompt": "x".repeat(32769)}), "prompt"),
        (json!({"prompt": "a\0"}), "prompt"),
        (json!({"n": 0}), "n"),
        (json!({"n": 11}), "n"),
        (json!({"n": "2"}), "n"),
        (json!({"quality": "best"}), "quality"),
        (json!({"style": "loud"}), "style"),
        (json!({"background": "transparent"}), "background"),
        (json!({"moderation": "high"}), "moderation"),
        (json!({"output_format": "gif"}), "output_format"),
        (json!({"output_compression": 101}), "output_compression"),
        (json!({"response_format": "blob"}), "response_format"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"stream": true, "partial_images": 4}), "partial_images"),
        (json!({"stream": true, "n": 11}), "n"),
        (json!({"user": long}), "user"),
        (json!({"user": 1}), "user"),
        (json!({"safety_identifier": long}), "safety_identifier"),
        (json!({"count": 2}), "n"),
        (json!({"output": {"format": "png"}}), "output_format"),
        (json!({"preview_every": 1}), "preview_every"),
        (json!({"sede": 1}), "sede"),
        (json!({"negativePrompt": "b"}), "negativePrompt"),
        (json!({"scheduler": "karras"}), "scheduler"),
        (json!({"guidance": 1, "guidance_scale": 2}), "guidance_scale"),
        (json!({"seed": -1}), "seed"),
        (json!({"steps": 0}), "steps"),
        (json!({"sampler": {"name": "ddim", "etta": 1}}), "sampler.etta"),
        (json!({"guidance_scale": 101}), "guidance"),
        (json!({"metadata": 1}), "metadata"),
        (json!({"size": "8x8", "width": 16}), "size"),
        (json!({"width": 0}), "size"),
        (json!({"label": 9}), "label"),
    ];
    for (more, param) in cases {
        let answer = post(&app, "generations", wish(more.clone())).await;
        let (status, kind, named) = refusal(&answer);
        assert_eq!(
            (status, kind.as_str(), &named),
            (400, "invalid_request_error", &json!(param)),
            "{more} {}",
            answer.json()
        );
        assert!(!answer.header("x-request-id").is_empty());
    }
    let jobs = app.get("/v1/jobs").await.json();
    assert_eq!(jobs["data"], json!([]), "all of it is refused before a job exists");
    let said = post(&app, "generations", wish(json!({"n": 99, "quality": "best"}))).await.json();
    let message = said["error"]["message"].as_str().unwrap();
    assert!(message.contains("n: ") && message.contains("quality: "), "{message}");
}

/// C55
#[tokio::test(flavor = "multi_thread")]
async fn size_is_what_it_says() {
    let app = TestApp::start().await;
    for (size, made) in [(json!("64x32"), (64, 32)), (json!("auto"), (8, 8)), (Value::Null, (8, 8))] {
        let answer = post(&app, "generations", wish(json!({"size": size}))).await;
        assert_eq!(pixels(&pictures(&answer)[0]).dimensions(), made, "{size}");
        assert_eq!(answer.json()["size"], json!(format!("{}x{}", made.0, made.1)));
    }
    for size in ["64X32", "0x0", "64", "999999x16", "64x64x64", "", "x", "8x", "+8x8", "8 x 8", "99999999999x1", "-8x8"]
    {
        let answer = post(&app, "generations", wish(json!({"size": size}))).await;
        assert_eq!(refusal(&answer), (400, "invalid_request_error".into(), json!("size")), "{size}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn null_means_left_out() {
    let app = TestApp::start().await;
    let names =
        ["model", "n", "size", "quality", "style", "background", "moderation", "output_format", "output_compression"];
    let more = ["stream", "partial_images", "user", "sampler"];
    let nulls: serde_json::Map<_, _> =
        names.iter().chain(&more).map(|name| ((*name).to_owned(), Value::Null)).collect();
    let answer = post(&app, "generations", wish(nulls.into())).await;
    assert_eq!(pictures(&answer), pictures(&post(&app, "generations", wish(json!({}))).await));
    // The exact model reads no text, which the job itself remarks.
    assert_eq!(answer.json()["warnings"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn quality_is_a_number_of_steps() {
    let app = TestApp::with(|config| {
        config.openai.quality.insert("draft".into(), 3);
    })
    .await;
    let own = app.get("/v1/models/gaussian").await.json()["defaults"]["steps"].as_u64().unwrap();
    let cases = [
        (json!({"quality": "low"}), 10, "low"),
        (json!({"quality": "medium"}), 25, "medium"),
        (json!({"quality": "high"}), 50, "high"),
        (json!({"quality": "standard"}), 25, "medium"),
        (json!({"quality": "hd"}), 50, "high"),
        (json!({"quality": "draft"}), 3, "low"),
        (json!({"quality": "auto"}), own, "medium"),
        (json!({}), own, "medium"),
        (json!({"quality": "hd", "steps": 5}), 5, "low"),
        (json!({"quality": "hd", "schedule": {"name": "custom", "timesteps": [900, 500, 100]}}), 3, "low"),
    ];
    for (more, steps, told) in cases {
        let mut body = wish(json!({"steps": null}));
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = post(&app, "generations", body).await.json();
        conforms("ImagesResponse", &answer);
        assert_eq!((&answer["usage"]["output_tokens"], &answer["quality"]), (&json!(steps), &json!(told)), "{more}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn formats_and_what_nobody_knows() {
    let app = TestApp::start().await;
    for (format, head) in [("png", &b"\x89PNG"[..]), ("jpeg", b"\xff\xd8\xff"), ("webp", b"RIFF")] {
        let sizes = [0, 100].map(|compression| {
            wish(json!({"output_format": format, "output_compression": compression, "size": "64x64"}))
        });
        let mut lengths = Vec::new();
        for body in sizes {
            let answer = post(&app, "generations", body).await;
            let bytes = pictures(&answer).remove(0);
            assert_eq!((&bytes[..head.len()], &answer.json()["output_format"]), (head, &json!(format)));
            assert_eq!(answer.json()["warnings"].as_array().unwrap().len(), 1 + usize::from(format == "png"));
            lengths.push(bytes.len());
        }
        assert_eq!(lengths[0] < lengths[1], format != "png", "{format}: {lengths:?}");
    }
    let more = json!({"style": "natural", "moderation": "low", "loras": [{"name": "x"}], "partial_images": 2});
    let answer = post(&app, "generations", wish(more)).await.json();
    let named: Vec<_> = answer["warnings"].as_array().unwrap().iter().map(|warning| &warning["param"]).collect();
    assert_eq!(named, ["loras", "style", "moderation", "partial_images", "prompt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_whole_and_lead_to_the_picture() {
    let app = TestApp::start().await;
    let url = async |app: &TestApp, headers: &[(&str, &str)]| {
        let mut request =
            app.request(Method::POST, "/v1/images/generations").json(&wish(json!({"response_format": "url"})));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = send(request).await.json();
        conforms("ImagesResponse", &answer);
        answer["data"][0]["url"].as_str().unwrap().to_owned()
    };
    let own = url(&app, &[]).await;
    let path = own.strip_prefix(&app.url).unwrap_or_else(|| panic!("{own}"));
    assert_eq!(app.get(path).await.body, pictures(&post(&app, "generations", wish(json!({}))).await)[0]);
    let proxied = url(&app, &[("x-forwarded-proto", "https"), ("x-forwarded-host", "a.example, b.example")]).await;
    assert!(proxied.starts_with("https://a.example/v1/images/"), "{proxied}");
    let odd = url(&app, &[("x-forwarded-host", "no host/")]).await;
    assert!(odd.starts_with(&app.url), "{odd}");
    let named = TestApp::with(|config| config.http.public_url = "https://pictures.example/d/".into()).await;
    let public = url(&named, &[("x-forwarded-host", "a.example")]).await;
    assert!(public.starts_with("https://pictures.example/d/v1/images/"), "{public}");
}

/// As the original does it.
#[tokio::test(flavor = "multi_thread")]
async fn the_model_says_where_the_bytes_are() {
    let app = TestApp::start().await;
    for (model, member) in [
        (json!("dall-e-2"), "url"),
        (json!("gaussian"), "url"),
        (Value::Null, "url"),
        (json!("gpt-image-1"), "b64_json"),
        (json!("gpt-image-2"), "b64_json"),
        (json!("chatgpt-image-latest"), "b64_json"),
    ] {
        let answer = post(&app, "generations", wish(json!({"model": model, "response_format": null}))).await.json();
        assert!(answer["data"][0][member].is_string(), "{model}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_have_other_names() {
    let app = TestApp::with(|config| {
        config.openai.models.insert("org/other".into(), "gaussian".into());
    })
    .await;
    let list = app.get("/v1/models").await.json();
    conforms("ListModelsResponse", &list);
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids[0], "gaussian");
    for id in ["dall-e-3", "gpt-image-1", "gpt-image-2", "org/other"] {
        assert!(ids.contains(&id), "{ids:?}");
        let model = app.get(&format!("/v1/models/{}", id.replace('/', "%2F"))).await.json();
        conforms("Model", &model);
        assert_eq!((&model["id"], &model["alias_of"]), (&json!(id), &json!("gaussian")));
        let answer = post(&app, "generations", wish(json!({"model": id}))).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
    let unknown = post(&app, "generations", wish(json!({"model": "gpt-image-7"}))).await;
    assert_eq!(refusal(&unknown), (404, "invalid_request_error".into(), json!("model")));
    assert_eq!(unknown.json()["error"]["code"], "model_not_found");
    let missing = app.get("/v1/models/no%2Fsuch").await;
    assert_eq!((missing.status, &missing.json()["error"]["code"]), (404, &json!("model_not_found")));
    assert_eq!(app.delete("/v1/models/gaussian").await.status, 405);
    let mut config = app.app.config.clone();
    config.openai.models.insert("x".into(), "no-such".into());
    let astray = darkroom::catalog::Catalog::open(&config);
    assert!(astray.unwrap_err().to_string().starts_with("openai.models: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_say_whether_to_try_again() {
    let app = TestApp::with(|config| config.queue.max_depth = 0).await;
    let full = post(&app, "generations", wish(json!({}))).await;
    assert_eq!(refusal(&full), (429, "rate_limit_error".into(), Value::Null));
    assert_eq!(
        (full.header("retry-after"), full.header("retry-after-ms"), full.header("x-should-retry")),
        ("5", "5000", "")
    );

    let app = slow().await;
    let poison = BASE64_STANDARD.encode(latents::write(&[3e38; 64], [1, 8, 8]).unwrap());
    let failed = post(&app, "generations", wish(json!({"latents": poison, "steps": 40}))).await;
    assert_eq!(refusal(&failed), (500, "server_error".into(), Value::Null));
    assert_eq!((failed.header("x-should-retry"), &failed.json()["code"]), ("false", &json!("not_finite")));

    let late = app.request(Method::POST, "/v1/images/generations").header("cancel-after", "1");
    let late = send(late.json(&long(json!({})))).await;
    assert_eq!((late.status, late.header("x-should-retry")), (408, "false"));

    let form = app.request(Method::POST, "/v1/images/generations").header("content-type", "text/plain").body("{}");
    assert_eq!(refusal(&send(form).await).0, 415);
    let broken =
        app.request(Method::POST, "/v1/images/generations").header("content-type", "application/json").body("{");
    assert_eq!(refusal(&send(broken).await).0, 400);
    let twice = app.request(Method::POST, "/v1/images/generations").header("content-type", "application/json");
    let twice = send(twice.body(r#"{"prompt": "a", "prompt": "b"}"#)).await;
    assert_eq!(refusal(&twice), (400, "invalid_request_error".into(), json!("prompt")), "D10");
}

/// A service in which a job can take minutes, and one that does.
async fn slow() -> TestApp {
    TestApp::with(|config| config.limits.row_evaluations = u64::MAX).await
}

fn long(more: Value) -> Value {
    let mut body = wish(json!({"steps": 1000, "n": 10, "sampler": "heun", "size": "256x256"}));
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_cancels_its_job() {
    let app = slow().await;
    for stream in [false, true] {
        let request = app.request(Method::POST, "/v1/images/generations").json(&long(json!({"stream": stream})));
        let sent = tokio::spawn(async move { request.send().await.map(|answer| (answer.status(), answer)) });
        let running = async || app.get("/v1/jobs?limit=1").await.json()["data"][0].clone();
        while running().await["status"] != "running" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if stream {
            drop(sent.await.unwrap().unwrap());
        } else {
            sent.abort();
        }
        let mut job = running().await;
        for _ in 0..400 {
            if job["status"] != "running" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            job = running().await;
        }
        assert_eq!(job["status"], "canceled", "stream: {stream}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_closes_gives_nobody_a_job_to_take() {
    let app = slow().await;
    let request = app.request(Method::POST, "/v1/images/generations").json(&long(json!({})));
    let sent = tokio::spawn(send(request));
    while app.get("/v1/jobs").await.json()["data"][0]["status"] != "running" {}
    let store = app.app.store.clone();
    app.stop().await;
    let answer = sent.await.unwrap();
    assert_eq!((answer.status, refusal(&answer).1.as_str()), (503, "server_error"));
    let jobs = store.list(&darkroom::store::Filter { limit: 1, ..Default::default() }).await.unwrap();
    assert_eq!(jobs[0].status.name(), "canceled");
}
