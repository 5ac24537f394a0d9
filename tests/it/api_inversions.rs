//! Inversions over HTTP: the file, what edits may do with it, and what is refused.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    api_edits::trained,
    support::{
        app::TestApp,
        pictures::{mask, png, psnr, url},
    },
};

/// A picture of the exact model's own label 1, as a data URL.
async fn own(app: &TestApp) -> String {
    let job = app.generate(&json!({"label": 1, "seed": 5, "steps": 20})).await;
    url(&app.picture(&job, 0).await)
}

async fn inverted(app: &TestApp, body: &Value) -> Value {
    let request = app.request(Method::POST, "/v1/inversions").header("prefer", "wait=60").json(body);
    app.done(request).await
}

fn file(job: &Value) -> &str {
    job["files"][0]["id"].as_str().unwrap()
}

const KEPT: [(&str, u64); 5] = [("ddim", 20), ("direct", 20), ("edit_friendly", 12), ("bdia", 16), ("edict", 32)];

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_from_the_file_is_the_edit_from_the_picture() {
    let app = TestApp::start().await;
    let image = own(&app).await;
    for (method, evaluations) in KEPT {
        let common = json!({"image": image, "method": method, "steps": 20, "seed": 3});
        let mut inversion = common.clone();
        // The way back under the scale that the edit's own way back has.
        let scale = json!({"ddim": 1, "direct": 1, "edit_friendly": 3.5, "bdia": 1, "edict": 1});
        inversion
            .as_object_mut()
            .unwrap()
            .extend([("label".to_owned(), json!(1)), ("guidance".into(), scale[method].clone())]);
        let made = inverted(&app, &inversion).await;
        assert_eq!((&made["status"], &made["kind"]), (&json!("succeeded"), &json!("inversion")), "{made}");
        assert_eq!((&made["images"], &made["files"][0]["kind"]), (&json!([]), &json!("inversion")));
        assert_eq!(made["usage"]["evaluations"], evaluations, "{method}");
        assert_eq!(made["progress"], json!({"evaluations": evaluations, "of": evaluations}));
        let mut edit = common.clone();
        let wish = json!({"source_label": 1, "label": 2, "guidance": 2});
        edit.as_object_mut().unwrap().extend(wish.as_object().unwrap().clone());
        let whole = app.edit(&edit).await;
        let wish = json!({"inversion": file(&made), "label": 2, "guidance": 2, "seed": 3});
        let rest = app.edit(&wish).await;
        assert_eq!((&whole["status"], &rest["status"]), (&json!("succeeded"), &json!("succeeded")), "{whole} {rest}");
        assert!(app.picture(&whole, 0).await.len() > 100);
        assert_eq!(app.pixels(&whole, 0).await, app.pixels(&rest, 0).await, "{method}");
        let [all, left] = [&whole, &rest].map(|job| job["usage"]["evaluations"].as_u64().unwrap());
        assert_eq!(all - left, evaluations, "{method}: the way back was gone already");
        // A job's request posts back, the inversion named by its blob.
        let again = app.edit(&rest["request"]).await;
        assert_eq!(app.pixels(&again, 0).await, app.pixels(&rest, 0).await);
        let again = inverted(&app, &made["request"]).await;
        assert_eq!(again["files"][0]["sha256"], made["files"][0]["sha256"], "{method}: equal bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_an_inversion_is_named() {
    let app = TestApp::start().await;
    let image = own(&app).await;
    let made = inverted(&app, &json!({"image": image, "method": "bdia", "steps": 20, "label": 1})).await;
    let id = file(&made);
    let with = |more: Value| {
        let mut body = json!({"inversion": id, "label": 2});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let cases = [
        (with(json!({"steps": 21})), "/steps", "20"),
        (with(json!({"strength": 0.5})), "/strength", "0.8"),
        (with(json!({"sampler": {"name": "bdia", "gamma": 0.99}})), "/sampler", "0.96"),
        (with(json!({"sampler": "ddim"})), "/sampler", "bdia"),
        (with(json!({"schedule": "leading"})), "/schedule", "trailing"),
        (with(json!({"width": 16})), "/width", "8"),
        (with(json!({"source_label": 0})), "/source_label", "1"),
        (with(json!({"method": "ddim"})), "/method", "bdia"),
        (with(json!({"method": {"name": "bdia", "source_guidance": 2}})), "/method/source_guidance", "leave it out"),
        (with(json!({"method": {"name": "bdia", "gamma": 2}})), "/method/gamma", ""),
        (with(json!({"image": image})), "/image", "left out"),
        (with(json!({"mask": url(&png(&mask(16, 16, |_, _| true)))})), "/mask", "8 x 8"),
        (json!({"inversion": "0198c0de-0000-7000-8000-000000000000"}), "/inversion", "no file"),
        (json!({"inversion": "AAAA"}), "/inversion", "safetensors"),
        (json!({"inversion": url(b"\xff\xff\xff\xff\xff\xff\xff\xff{}")}), "/inversion", "safetensors"),
        (json!({"inversion": 1}), "/inversion", "must be"),
    ];
    for (body, pointer, words) in cases {
        let answer = app.post("/v1/edits", &body).await;
        let problem = answer.json();
        let found = problem["errors"].as_array().cloned().unwrap_or_default();
        let named = found.iter().find(|fault| fault["pointer"] == pointer);
        let said = named.map(|fault| fault["message"].as_str().unwrap().to_owned()).unwrap_or_default();
        assert!(answer.status == 422 && named.is_some() && said.contains(words), "{body}: {problem}");
    }
    // Latents are a safetensors file too, but no inversion.
    let latents = app.generate(&json!({"output": {"format": "safetensors"}, "steps": 2})).await;
    let answer = app.post("/v1/edits", &json!({"inversion": file(&latents)})).await;
    assert_eq!((answer.status, answer.pointers()), (422, vec!["/inversion".to_owned()]));
    // A file that was cut or changed on its way.
    let bytes = app.get(&format!("/v1/files/{id}")).await.body;
    let mut changed = bytes.clone();
    // The first numbers behind the header are the code's.
    let place = 8 + usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    changed[place..place + 8].copy_from_slice(&[0xff; 8]);
    for broken in [&bytes[..bytes.len() - 4], &changed[..]] {
        let answer = app.post("/v1/edits", &json!({"inversion": url(broken)})).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec!["/inversion".to_owned()]));
    }
    // The same file as it is, brought along.
    let brought = app.edit(&json!({"inversion": url(&bytes), "label": 2})).await;
    let named = app.edit(&json!({"inversion": {"file": id}, "label": 2})).await;
    assert_eq!(app.pixels(&brought, 0).await, app.pixels(&named, 0).await);
    // It outlives its job where an edit names it.
    assert_eq!(app.delete(&format!("/v1/jobs/{}", made["id"].as_str().unwrap())).await.status, 204);
    let again = app.edit(&named["request"]).await;
    assert_eq!(app.pixels(&again, 0).await, app.pixels(&named, 0).await);
    assert_eq!(app.post("/v1/edits", &json!({"inversion": id})).await.pointers(), ["/inversion"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inversion_of_other_weights_is_refused() {
    let first = TestApp::start().await;
    let made = inverted(&first, &json!({"image": own(&first).await, "steps": 4})).await;
    let bytes = first.get(&format!("/v1/files/{}", file(&made))).await.body;
    let other =
        TestApp::with(|config| config.models.gaussian.prediction = darkroom::denoiser::Prediction::Sample).await;
    let answer = other.post("/v1/edits", &json!({"inversion": url(&bytes)})).await;
    assert_eq!((answer.status, answer.pointers()), (422, vec!["/inversion".to_owned()]));
    assert!(answer.json().to_string().contains("other weights"), "{}", answer.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_field_of_an_inversion_is_named() {
    let app = TestApp::start().await;
    let image = own(&app).await;
    let with = |more: Value| {
        let mut body = json!({"image": image});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let cases = [
        (json!({}), "/image"),
        (json!({"image": "x"}), "/image"),
        (with(json!({"method": "sdedit"})), "/method"),
        (with(json!({"method": "infedit"})), "/method"),
        (with(json!({"method": "null_text"})), "/method"),
        (with(json!({"method": "dim"})), "/method"),
        (with(json!({"method": {"name": "ddim", "iterations": 0}})), "/method/iterations"),
        (with(json!({"method": {"name": "ddim", "source_guidance": 3}})), "/method/source_guidance"),
        (with(json!({"strength": 0})), "/strength"),
        (with(json!({"precision": "f16"})), "/precision"),
        (with(json!({"count": 2})), "/count"),
        (with(json!({"mask": image})), "/mask"),
        (with(json!({"method": "bdia", "sampler": "ddim"})), "/sampler"),
        (with(json!({"method": "bdia", "sampler": {"name": "bdia", "gamma": 0.5}, "steps": 50})), "/sampler/gamma"),
        (with(json!({"method": "edict", "sampler": {"name": "edict", "mix": 0.8}, "steps": 50})), "/sampler/mix"),
        (with(json!({"method": "edit_friendly", "sampler": "ddim"})), "/sampler"),
        (with(json!({"method": "direct", "sampler": {"name": "ddim", "eta": 1}})), "/sampler"),
        (with(json!({"method": "ddim", "sampler": {"name": "ddim", "wrap": [{"name": "momentum"}]}})), "/sampler/wrap"),
        (with(json!({"seed": 9_007_199_254_740_992u64})), "/seed"),
        (with(json!({"label": 9})), "/label"),
    ];
    for (body, pointer) in cases {
        let answer = app.post("/v1/inversions", &body).await;
        assert!(
            answer.status == 422 && answer.pointers().contains(&pointer.to_owned()),
            "{pointer}: {}",
            answer.json()
        );
    }
    let missing = app.post("/v1/inversions", &with(json!({"model": "none"}))).await;
    assert_eq!((missing.status, missing.json()["code"].clone()), (404, json!("model_not_found")));
}

/// With one prompt for both ways the exact methods give the picture back; f64 no worse than f32.
#[tokio::test(flavor = "multi_thread")]
async fn exact_methods_give_the_picture_back_on_the_trained_model() {
    let app = trained().await;
    let prompt = "red heart, twemoji style";
    let source = app.generate(&json!({"prompt": prompt, "seed": 4, "steps": 12})).await;
    let image = url(&app.picture(&source, 0).await);
    let through = app.edit(&json!({"image": image, "strength": 0})).await;
    let through = app.pixels(&through, 0).await;
    for method in ["direct", "edit_friendly", "bdia", "edict"] {
        for precision in ["f32", "f64"] {
            let body = json!({"image": image, "method": method, "prompt": prompt, "steps": 12, "guidance": 2,
                "precision": precision, "seed": 8});
            let mut body = body;
            if method == "direct" {
                body["guidance"] = json!(1);
            }
            let made = inverted(&app, &body).await;
            assert_eq!(made["status"], "succeeded", "{made}");
            let back = app.edit(&json!({"inversion": file(&made), "prompt": prompt, "guidance": 2})).await;
            assert_eq!(back["status"], "succeeded", "{back}");
            let found = psnr(&app.pixels(&back, 0).await, &through);
            assert!(found > 45.0, "{method} in {precision}: {found} dB");
        }
    }
}

/// The levels of an edit-friendly inversion share forwards.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_do_not_depend_on_each_other_are_one_forward() {
    let app = TestApp::start().await;
    let image = own(&app).await;
    let forwards = async || {
        let text = String::from_utf8(app.get("/metrics").await.body).unwrap();
        let line =
            text.lines().find(|line| line.starts_with("darkroom_batch_rows_count{")).unwrap_or_default().to_owned();
        line.rsplit(' ').next().unwrap_or_default().parse().unwrap_or(0.0)
    };
    let before: f64 = forwards().await;
    let made = inverted(&app, &json!({"image": image, "method": "edit_friendly", "steps": 50, "strength": 1})).await;
    assert_eq!(made["usage"]["evaluations"], 50);
    let after: f64 = forwards().await;
    assert!(after - before <= 4.0, "{} forwards for 50 levels", after - before);
}
