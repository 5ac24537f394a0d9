//! The page at `/docs`: every operation has an example that works when it is pressed.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{TestApp, send};

/// What a page presses: the operation's example values, as the description with the newest ids gives them.
struct Pressed {
    method: Method,
    path: String,
    body: Option<Value>,
}

fn pressed(api: &Value) -> Vec<Pressed> {
    let mut all = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let mut path = path.clone();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if parameter["in"] == "path" {
                    let name = parameter["name"].as_str().unwrap();
                    let example = parameter["example"].as_str();
                    let example = example.unwrap_or_else(|| panic!("{path}: {name} has no example"));
                    path = path.replace(&format!("{{{name}}}"), example);
                }
            }
            if path.ends_with("/interrogate") {
                continue; // no model here describes pictures
            }
            let content = &operation["requestBody"]["content"];
            if content["multipart/form-data"].is_object() && content["application/json"].is_null() {
                continue; // whoever presses it chooses a file first
            }
            let body = &content["application/json"];
            let body = (!body.is_null()).then(|| example(api, body));
            all.push(Pressed { method: method.to_uppercase().parse().unwrap(), path, body });
        }
    }
    // What ends or erases comes last.
    all.sort_by_key(|one| (one.method == Method::DELETE, one.path.ends_with("cancel"), one.method == Method::POST));
    all
}

/// The example of a body, or of its schema.
fn example(api: &Value, body: &Value) -> Value {
    let named = body["schema"]["$ref"].as_str().unwrap_or_default().trim_start_matches('#');
    let schema = api.pointer(named).unwrap_or(&body["schema"]);
    let found = [&body["example"], &schema["example"]].into_iter().find(|example| !example.is_null());
    found.unwrap_or_else(|| panic!("no example: {body}")).clone()
}

#[tokio::test]
async fn every_operation_has_an_example_that_works() {
    let app = TestApp::with(|config| {
        config.models.default = "emoji64".into();
        config.models.dir = concat!(env!("CARGO_MANIFEST_DIR"), "/models").into();
    })
    .await;
    let heart = json!({"image": darkroom::http::examples::heart(), "steps": 2, "prompt": "a red heart"});
    app.done(app.request(Method::POST, "/v1/inversions").json(&heart)).await;
    app.generate(&json!({"steps": 2})).await;
    let long = json!({"steps": 1000, "preview_every": 1});
    let id = app.submit(&long).await["id"].as_str().unwrap().to_owned();
    while app.get(&format!("/v1/jobs/{id}/previews/0")).await.status != 200 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let api = app.get("/openapi.json?examples=newest").await.json();
    for Pressed { method, path, body } in pressed(&api) {
        // Streams do not end while the job runs; tests of their own read them.
        if path.ends_with("/events") {
            continue;
        }
        let request = app.request(method.clone(), &path).header("prefer", "wait=60");
        let request = if let Some(body) = &body { request.json(body) } else { request };
        let answer = send(request).await;
        let text = String::from_utf8_lossy(&answer.body);
        assert!((200..300).contains(&answer.status), "{method} {path} {body:?}: {} {text:.500}", answer.status);
        if answer.header("location").starts_with("/v1/jobs/") {
            assert_eq!(answer.json()["status"], "succeeded", "{method} {path}: {text:.500}");
        }
    }
}
