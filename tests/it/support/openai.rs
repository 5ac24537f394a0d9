//! What clients of OpenAI's API send, and what they may rely on in the answers.

use std::sync::LazyLock;

use futures_util::StreamExt;
use image::{GrayImage, RgbImage, Rgba, RgbaImage};
use reqwest::{Method, RequestBuilder, header::HeaderValue};
use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp, send};

/// A slice of OpenAI's own description; its first line says where it is from.
static SLICE: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../data/openai_schema.json")).unwrap());

/// Fails with what a document lacks to be of that type in OpenAI's description.
pub fn conforms(kind: &str, document: &Value) {
    assert!(SLICE["components"]["schemas"][kind].is_object(), "no type {kind}");
    let mut schema = SLICE.clone();
    schema["$ref"] = format!("#/components/schemas/{kind}").into();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{kind}: {errors:?}");
}

/// Parts of a form: name, file name (empty for a text), bytes.
pub type Part<'a> = (&'a str, &'a str, &'a [u8]);

/// A form to a path.
pub fn form(app: &TestApp, path: &str, parts: &[Part<'_>]) -> RequestBuilder {
    let mut body = Vec::new();
    for (name, file, bytes) in parts {
        let file = match *file {
            "" => String::new(),
            file => format!("; filename=\"{file}\"\r\ncontent-type: application/octet-stream"),
        };
        body.extend(format!("--XyZ\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n").bytes());
        body.extend_from_slice(bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--XyZ--\r\n");
    app.request(Method::POST, path).header("content-type", "multipart/form-data; boundary=XyZ").body(body)
}

/// The pictures of an answer, which must be one, in base64.
pub fn pictures(answer: &Answer) -> Vec<Vec<u8>> {
    let document = answer.json();
    assert_eq!(answer.status, 200, "{document}");
    conforms("ImagesResponse", &document);
    document["data"].as_array().unwrap().iter().map(|datum| decoded(&datum["b64_json"])).collect()
}

/// Bytes in base64.
pub fn decoded(text: &Value) -> Vec<u8> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    BASE64_STANDARD.decode(text.as_str().unwrap()).unwrap()
}

/// The pixels of bytes.
pub fn pixels(bytes: &[u8]) -> RgbImage {
    image::load_from_memory(bytes).unwrap().to_rgb8()
}

/// A picture of one colour whose alpha is 0 where a mask is white.
pub fn clear(colour: u8, mask: &GrayImage) -> RgbaImage {
    RgbaImage::from_fn(mask.width(), mask.height(), |x, y| {
        Rgba([colour, colour, colour, 255 - mask.get_pixel(x, y).0[0]])
    })
}

/// What a refusal says: its status, type and field.
pub fn refusal(answer: &Answer) -> (u16, String, Value) {
    let document = answer.json();
    conforms("ErrorResponse", &document);
    (answer.status, document["error"]["type"].as_str().unwrap().to_owned(), document["error"]["param"].clone())
}

/// The events of a stream to its end, which must be one; each `event` line repeats the `type` of its data.
pub async fn events(request: RequestBuilder) -> Vec<Value> {
    // The client asks so, although it wants a stream.
    let response = request.header("accept", "application/json").send().await.unwrap();
    let kind = response.headers().get("content-type").cloned();
    assert_eq!((response.status().as_u16(), kind), (200, Some(HeaderValue::from_static("text/event-stream"))));
    let mut bytes = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        bytes.extend(chunk.unwrap());
    }
    let text = String::from_utf8(bytes).unwrap();
    let mut events = Vec::new();
    for block in text.split("\n\n") {
        let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let Some(data) = line("data:") else { continue };
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(line("event:"), data["type"].as_str(), "{data}");
        events.push(data);
    }
    events
}

/// Posts a document to a route of the dialect.
pub async fn post(app: &TestApp, route: &str, body: Value) -> Answer {
    app.post(&format!("/v1/images/{route}"), &body).await
}

/// A generation that the exact model makes soon, in base64, with other fields beside or instead.
pub fn wish(more: Value) -> Value {
    let mut body = json!({"prompt": "a", "response_format": "b64_json", "steps": 4, "label": 1, "seed": 7});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// Sends a form.
pub async fn post_form(app: &TestApp, route: &str, parts: &[Part<'_>]) -> Answer {
    send(form(app, &format!("/v1/images/{route}"), parts)).await
}
