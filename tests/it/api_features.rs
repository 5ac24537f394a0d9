//! What the network sees: the file of activations, and the map of what two pictures differ in.

use darkroom::{app::App, model::Card};
use image::{Rgb, RgbImage};
use reqwest::Method;
use safetensors::SafeTensors;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::{
    api_edits::trained,
    support::{
        app::TestApp,
        pictures::{noise, png, quarters, url},
    },
};

async fn looked(app: &TestApp, body: &Value) -> Value {
    let job = app.done(app.request(Method::POST, "/v1/features").header("prefer", "wait=60").json(body)).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    job
}

async fn file(app: &TestApp, job: &Value) -> Vec<u8> {
    app.get(job["files"][0]["url"].as_str().unwrap()).await.body
}

fn numbers(bytes: &[u8], name: &str) -> (Vec<usize>, Vec<f32>) {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let view = file.tensor(name).unwrap();
    let numbers = view.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    (view.shape().to_vec(), numbers)
}

fn card(app: &App) -> Arc<Card> {
    app.catalog.get(Some("emoji64")).unwrap().clone()
}

/// A square of another colour in a picture.
fn with_square(picture: &RgbImage) -> RgbImage {
    let mut changed = picture.clone();
    for (x, y) in (40..56).flat_map(|x| (8..24).map(move |y| (x, y))) {
        changed.put_pixel(x, y, Rgb([250, 20, 20]));
    }
    changed
}

#[tokio::test(flavor = "multi_thread")]
async fn activations_have_the_shapes_that_the_model_names() {
    let app = trained().await;
    let image = url(&png(&noise(64, 64)));
    let blocks: Vec<String> = card(&app.app).blocks.iter().map(|block| block.name.clone()).collect();
    let listed = app.get("/v1/models/emoji64").await.json();
    assert_eq!(listed["blocks"], json!(blocks));
    let job = looked(&app, &json!({"image": image, "blocks": blocks, "timesteps": [100, 400], "seed": 3})).await;
    assert_eq!(
        (&job["kind"], &job["files"][0]["kind"], &job["images"]),
        (&json!("features"), &json!("features"), &json!([]))
    );
    assert_eq!((&job["usage"]["evaluations"], &job["usage"]["rows"]), (&json!(2), &json!(2)));
    let bytes = file(&app, &job).await;
    for block in &card(&app.app).blocks {
        for t in [100, 400] {
            let (shape, numbers) = numbers(&bytes, &format!("{}.t{t}", block.name));
            let side = 16 >> block.halved;
            assert_eq!(shape, [usize::try_from(block.channels).unwrap(), side, side], "{}", block.name);
            assert_eq!(numbers.len() as u64, block.numbers([16, 16]));
            assert!(numbers.iter().all(|x| x.is_finite()) && numbers.iter().any(|x| *x != 0.0));
        }
    }
    // The same wish gives the same bytes, and pooled activations are their means.
    assert_eq!(file(&app, &looked(&app, &job["request"]).await).await, bytes);
    let pooled = json!({"image": image, "blocks": ["mid_block"], "timesteps": [400], "seed": 3, "pool": "mean"});
    let (shape, means) = numbers(&file(&app, &looked(&app, &pooled).await).await, "mid_block.t400");
    let (_, whole) = numbers(&bytes, "mid_block.t400");
    assert_eq!(shape, [means.len()]);
    for (mean, channel) in means.iter().zip(whole.chunks(whole.len() / means.len())) {
        let exact = channel.iter().sum::<f32>() / channel.len() as f32;
        assert!((mean - exact).abs() < 1e-4, "{mean} {exact}");
    }
    // The prompt and the seed are read.
    let told = json!({"image": image, "blocks": ["mid_block"], "timesteps": [400], "seed": 3, "prompt": "a cat"});
    assert_ne!(numbers(&file(&app, &looked(&app, &told).await).await, "mid_block.t400").1, whole);
    let drawn = json!({"image": image, "blocks": ["mid_block"], "timesteps": [400], "seed": 4});
    assert_ne!(numbers(&file(&app, &looked(&app, &drawn).await).await, "mid_block.t400").1, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_map_shows_where_pictures_differ() {
    let app = trained().await;
    let (a, b) = (quarters(64, 64), with_square(&quarters(64, 64)));
    let [a, b] = [a, b].map(|picture| url(&png(&picture)));
    let map = async |a: &str, b: &str, seed: u64| {
        let job = looked(&app, &json!({"image": a, "image_b": b, "seed": seed})).await;
        assert_eq!(job["usage"]["rows"], 6);
        let (shape, change) = numbers(&file(&app, &job).await, "change");
        assert_eq!(shape, [64, 64]);
        (change, app.pixels(&job, 0).await)
    };
    let (same, black) = map(&a, &a, 1).await;
    assert!(same.iter().all(|x| *x == 0.0), "with one noise for both, equal pictures do not differ at all");
    assert!(black.as_raw().iter().all(|byte| *byte == 0));
    let (change, shown) = map(&a, &b, 1).await;
    let mean = |inside: bool| {
        let within = |i: &usize| (40..56).contains(&(i % 64)) && (8..24).contains(&(i / 64));
        let some: Vec<_> = (0..change.len()).filter(|i| within(i) == inside).map(|i| change[i]).collect();
        some.iter().sum::<f32>() / some.len() as f32
    };
    assert!(mean(true) > 4.0 * mean(false), "inside {}, outside {}", mean(true), mean(false));
    let brightest = change.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    assert_eq!(shown.get_pixel(brightest as u32 % 64, brightest as u32 / 64).0, [255; 3]);
    let (swapped, _) = map(&b, &a, 1).await;
    assert!(change.iter().zip(&swapped).all(|(a, b)| (a - b).abs() < 1e-5));
    // Other noise tells much the same.
    let (other, _) = map(&a, &b, 2).await;
    assert_ne!(other, change);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_field_of_a_look_is_named() {
    let app = trained().await;
    let image = url(&png(&noise(64, 64)));
    let cases = [
        (json!({}), "/image"),
        (json!({"image": "x"}), "/image"),
        (json!({"image": image, "image_b": "x"}), "/image_b"),
        (json!({"image": image, "timesteps": []}), "/timesteps"),
        (json!({"image": image, "timesteps": [10, 1001]}), "/timesteps/1"),
        (json!({"image": image, "timesteps": [0.5]}), "/timesteps/0"),
        (json!({"image": image, "timesteps": [7, 7]}), "/timesteps/1"),
        (json!({"image": image, "timesteps": vec![1; 17]}), "/timesteps"),
        (json!({"image": image, "blocks": ["mid_block", "up_blocks.9"]}), "/blocks/1"),
        (json!({"image": image, "blocks": []}), "/blocks"),
        (json!({"image": image, "pool": "max"}), "/pool"),
        (json!({"image": image, "width": 65}), "/width"),
        (json!({"image": image, "mask": image}), "/mask"),
        (json!({"image": image, "model": "gaussian"}), "/model"),
    ];
    for (body, pointer) in cases {
        let answer = app.post("/v1/features", &body).await;
        assert!(
            answer.status == 422 && answer.pointers().contains(&pointer.to_owned()),
            "{pointer}: {}",
            answer.json()
        );
    }
    let large = json!({"image": image, "width": 1024, "height": 1024, "timesteps": [1, 2, 3, 4, 5, 6, 7, 8]});
    let answer = app.post("/v1/features", &large).await;
    assert_eq!(answer.pointers(), ["/blocks"]);
    assert!(answer.json().to_string().contains("limits.feature_bytes allows 67108864"), "{}", answer.json());
}
