//! Calls in AUTOMATIC1111's dialect.

use base64::{Engine, prelude::BASE64_STANDARD};
use image::RgbImage;
use serde_json::{Value, json};

use super::app::{Answer, TestApp};

/// A body with more fields.
pub fn with(mut body: Value, more: &Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// Asks for new pictures of the exact model, 8 by 8 in two steps, unless `wish` says otherwise.
pub async fn txt2img(app: &TestApp, wish: &Value) -> Answer {
    app.post("/sdapi/v1/txt2img", &with(json!({"seed": 7, "steps": 2}), wish)).await
}

/// The same for changed ones.
pub async fn img2img(app: &TestApp, wish: &Value) -> Answer {
    app.post("/sdapi/v1/img2img", &with(json!({"seed": 7, "steps": 4}), wish)).await
}

/// The files of an answer, which must be a success.
pub fn files(answer: &Answer) -> Vec<Vec<u8>> {
    assert_eq!(answer.status, 200, "{}", answer.json());
    let images = answer.json()["images"].as_array().unwrap().clone();
    images.iter().map(|image| BASE64_STANDARD.decode(image.as_str().unwrap()).unwrap()).collect()
}

/// Its pictures.
pub fn pixels(answer: &Answer) -> Vec<RgbImage> {
    files(answer).iter().map(|bytes| image::load_from_memory(bytes).unwrap().to_rgb8()).collect()
}

/// What it says of them.
pub fn info(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.json());
    serde_json::from_str(answer.json()["info"].as_str().unwrap()).unwrap()
}

/// The words of a refusal, which must have that status and the dialect's shape.
pub fn refused(answer: &Answer, status: u16) -> String {
    let said = answer.json();
    let keys: Vec<&String> = said.as_object().unwrap().keys().collect();
    assert_eq!(
        (answer.status, keys),
        (status, ["body", "detail", "error", "errors"].map(String::from).iter().collect()),
        "{said}"
    );
    assert_eq!(answer.header("content-type"), "application/json");
    said["detail"].as_str().unwrap().to_owned()
}
