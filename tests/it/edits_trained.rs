//! Editing methods on the trained model and real pictures of its data: what gives the picture back, what attention control
//! keeps, and what gradients find.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    api_edits::trained,
    support::{
        app::TestApp,
        pictures::{png, psnr, url},
    },
};

const SOURCE: &str = "red heart, twemoji style";

/// A picture that the model draws for the source prompt, as a data URL.
async fn heart(app: &TestApp) -> String {
    let job = app.generate(&json!({"prompt": SOURCE, "seed": 4, "steps": 16})).await;
    url(&app.picture(&job, 0).await)
}

async fn edited(app: &TestApp, image: &str, more: Value) -> Value {
    let mut body = json!({"image": image, "source_prompt": SOURCE, "steps": 10, "seed": 1});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let job = app.edit(&body).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    job
}

/// Mean red less blue.
fn redness(picture: &image::RgbImage) -> f64 {
    let sum: f64 = picture.pixels().map(|p| f64::from(p.0[0]) - f64::from(p.0[2])).sum();
    sum / f64::from(picture.width() * picture.height())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_edits_a_real_picture() {
    let app = trained().await;
    let image = heart(&app).await;
    let wish = "blue heart, twemoji style";
    let through = app.pixels(&edited(&app, &image, json!({"strength": 0})).await, 0).await;
    for method in darkroom::edit::EDIT_METHODS.iter().filter(|kind| kind.entry.name != "inpaint") {
        let name = method.entry.name;
        let method = match name {
            // Two steps of Adam are enough to see an edit.
            "null_text" => json!({"name": name, "iterations": 2}),
            _ => json!(name),
        };
        let job = edited(&app, &image, json!({"method": method, "prompt": wish, "guidance": 4})).await;
        let picture = app.pixels(&job, 0).await;
        assert!(
            redness(&picture) < redness(&through) - 10.0,
            "{name}: {} from {}",
            redness(&picture),
            redness(&through)
        );
        assert_eq!(job["request"]["edit"], Value::Null);
        assert_eq!(job["request"]["method"]["name"], name);
    }
}

/// With one prompt for both, what corrects the drift gives the picture back whatever the guidance; what does not, does not.
#[tokio::test(flavor = "multi_thread")]
async fn one_prompt_gives_the_picture_back() {
    let app = trained().await;
    let image = heart(&app).await;
    let through = app.pixels(&edited(&app, &image, json!({"strength": 0})).await, 0).await;
    let back = async |method: Value, guidance: f64| {
        let job = edited(&app, &image, json!({"method": method, "prompt": SOURCE, "guidance": guidance})).await;
        psnr(&app.pixels(&job, 0).await, &through)
    };
    let controlled = json!({"name": "infedit", "attention": {}});
    // InfEdit guides the wish alone.
    let exact = [(json!("direct"), 4.0), (json!("prompt_to_prompt"), 4.0), (json!("infedit"), 1.0), (controlled, 1.0)];
    for (method, guidance) in exact {
        let found = back(method.clone(), guidance).await;
        assert!(found > 45.0, "{method}: {found} dB");
    }
    // Guided both ways they come back, guided one way they do not.
    for name in ["bdia", "edict"] {
        let both = back(json!({"name": name, "source_guidance": null}), 2.0).await;
        let one = back(json!(name), 2.0).await;
        assert!(both > 45.0 && one < both - 10.0, "{name}: {both} dB both ways, {one} dB one way");
    }
    let drifted = back(json!("ddim"), 4.0).await;
    let learned = back(json!({"name": "null_text", "iterations": 10}), 4.0).await;
    assert!(drifted < 30.0 && learned > drifted + 3.0, "ddim {drifted} dB, null_text {learned} dB");
}

/// Attention control keeps more of the source than the same walk without it, and `cross` and `self` of 0 change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn attention_control_has_the_effect_that_it_names() {
    let app = trained().await;
    let image = heart(&app).await;
    let wish = "yellow star, twemoji style";
    let made = async |method: Value| {
        app.pixels(&edited(&app, &image, json!({"method": method, "prompt": wish, "guidance": 4})).await, 0).await
    };
    let p2p = async |attention: Value| made(json!({"name": "prompt_to_prompt", "attention": attention})).await;
    let (free, none) = (made(json!("direct")).await, p2p(json!({"cross": 0, "self": 0})).await);
    assert!(psnr(&free, &none) > 50.0, "no control is `direct`: {}", psnr(&free, &none));
    let through = app.pixels(&edited(&app, &image, json!({"strength": 0})).await, 0).await;
    let held = p2p(json!({"cross": 1, "self": 1})).await;
    assert!(psnr(&held, &through) > psnr(&free, &through) + 0.5, "{} {}", psnr(&held, &through), psnr(&free, &through));
    let weighted = p2p(json!({"weights": {"star": 5}})).await;
    let plain = p2p(json!({})).await;
    assert!(psnr(&weighted, &plain) < 60.0, "a weight is felt");
    let blended = p2p(json!({"blend_words": ["heart", "star"], "blend_threshold": 0.9})).await;
    assert!(psnr(&blended, &through) > psnr(&plain, &through), "what is outside the mask stays");
    let infedit = made(json!("infedit")).await;
    let unified = made(json!({"name": "infedit", "attention": {"cross_replace": 1, "self_replace": 1}})).await;
    assert!(psnr(&unified, &infedit) < 60.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_attention_control_cannot_do_is_named() {
    let app = trained().await;
    let image = heart(&app).await;
    let with = |more: Value| {
        let mut body = json!({"image": image, "source_prompt": SOURCE, "prompt": "blue heart", "steps": 4});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let p2p = |attention: Value| with(json!({"method": {"name": "prompt_to_prompt", "attention": attention}}));
    let unified = |attention: Value| with(json!({"method": {"name": "infedit", "attention": attention}}));
    let cases = [
        (p2p(json!({"kind": "replace"})), "/method/attention/kind"),
        (p2p(json!({"kind": "swap"})), "/method/attention/kind"),
        (p2p(json!({"cross": 2})), "/method/attention/cross"),
        (p2p(json!({"crosss": 1})), "/method/attention"),
        (p2p(json!({"weights": {"cat": 2}})), "/method/attention/weights/cat"),
        (p2p(json!({"weights": {"heart": 11}})), "/method/attention/weights/heart"),
        (p2p(json!({"blend_words": ["heart", "cat"]})), "/method/attention/blend_words/1"),
        (unified(json!({"target_words": ["cat"]})), "/method/attention/target_words/0"),
        (
            with(
                json!({"method": {"name": "infedit", "attention": {}}, "guidance": {"name": "cfg", "interval": [0, 0.5]}}),
            ),
            "/guidance",
        ),
        (with(json!({"method": "null_text", "guidance": 1})), "/guidance"),
        (with(json!({"method": "null_text", "guidance": "none"})), "/guidance"),
        (with(json!({"method": "null_text", "sampler": "dpmpp_2m"})), "/sampler"),
        (with(json!({"method": "direct", "model": "gaussian", "latents": "x"})), "/latents"),
        (with(json!({"method": "prompt_to_prompt", "model": "gaussian"})), "/method"),
        (with(json!({"method": "null_text", "model": "gaussian"})), "/method"),
    ];
    for (body, pointer) in cases {
        let answer = app.post("/v1/edits", &body).await;
        assert!(
            answer.status == 422 && answer.pointers().iter().any(|found| found.starts_with(pointer)),
            "{pointer}: {}",
            answer.json()
        );
    }
}

/// Moved and tinted noise maps move and tint the picture, the more the further.
#[tokio::test(flavor = "multi_thread")]
async fn noise_maps_can_be_moved_and_tinted() {
    let app = trained().await;
    let image = heart(&app).await;
    let made = async |more: Value| {
        let mut method = json!({"name": "edit_friendly", "source_guidance": 1});
        method.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let wish = json!({"method": method, "prompt": SOURCE, "guidance": 1, "steps": 20});
        app.pixels(&edited(&app, &image, wish).await, 0).await
    };
    let plain = made(json!({})).await;
    let blue = async |share: f64| redness(&made(json!({"tint": {"colour": [0, 0, 255], "share": share}})).await);
    let shades = [blue(-0.5).await, redness(&plain), blue(0.5).await, blue(1.0).await];
    assert!(shades.is_sorted_by(|a, b| a > b), "{shades:?}");
    let moved = made(json!({"shift": [2, -1]})).await;
    // Two cells are eight pixels.
    let back = image::RgbImage::from_fn(64, 64, |x, y| *moved.get_pixel((x + 8) % 64, (y + 60) % 64));
    // The model knows the heart in the middle alone, and pulls it back in part.
    assert!(psnr(&back, &plain) > psnr(&moved, &plain) + 0.3, "{} {}", psnr(&back, &plain), psnr(&moved, &plain));
}

/// What null-text inversion learns is a file that edits start from as often as they like.
#[tokio::test(flavor = "multi_thread")]
async fn learned_texts_are_kept() {
    let app = trained().await;
    let image = heart(&app).await;
    let body = json!({"image": image, "method": {"name": "null_text", "iterations": 2}, "prompt": SOURCE, "steps": 6, "guidance": 4});
    let made = app.done(app.request(Method::POST, "/v1/inversions").header("prefer", "wait=60").json(&body)).await;
    assert_eq!(made["status"], "succeeded", "{made}");
    let id = made["files"][0]["id"].as_str().unwrap();
    let rest = app.edit(&json!({"inversion": id, "prompt": "blue heart", "guidance": 4})).await;
    assert_eq!((&rest["status"], &rest["usage"]["evaluations"]), (&json!("succeeded"), &json!(6)), "{rest}");
    let whole =
        json!({"method": {"name": "null_text", "iterations": 2}, "prompt": "blue heart", "steps": 6, "guidance": 4});
    let whole = edited(&app, &image, whole).await;
    let found = psnr(&app.pixels(&rest, 0).await, &app.pixels(&whole, 0).await);
    assert!(found > 45.0, "{found} dB");
    let given = png(&app.pixels(&whole, 0).await);
    assert!(!given.is_empty());
}
