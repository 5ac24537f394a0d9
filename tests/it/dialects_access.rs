//! Keys in the dialects: each caller sees, sets and ends what is theirs.

use darkroom::access::Scope;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    access::{guarded, key},
    support::app::{Answer, TestApp, send},
};

const USER: [Scope; 3] = [Scope::Generate, Scope::Edit, Scope::Read];

async fn basic(app: &TestApp, key: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
    let request = app.request(method, path).basic_auth("webui", Some(key));
    send(match body {
        Some(body) => request.json(body),
        None => request,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_clients_get_addresses_that_work_without_the_key() {
    let app = guarded().await;
    let ann = key(&app, "ann", &USER).await;
    let wish = json!({"prompt": "a heart", "steps": 1, "response_format": "url"});
    let ask = |request: reqwest::RequestBuilder| send(request.json(&wish));
    let path = "/v1/images/generations";
    let refused = ask(app.request(Method::POST, path)).await;
    assert_eq!((refused.status, refused.json()["error"]["type"].as_str().unwrap()), (401, "invalid_request_error"));
    let reader = key(&app, "reader", &[Scope::Read]).await;
    assert_eq!(ask(app.request(Method::POST, path).bearer_auth(&reader)).await.status, 403);
    let made = ask(app.request(Method::POST, path).bearer_auth(&ann)).await;
    assert_eq!(made.status, 200, "{}", made.json());
    let url = made.json()["data"][0]["url"].as_str().unwrap().to_owned();
    let picture = app.get(url.strip_prefix(&app.url).unwrap()).await;
    assert_eq!((picture.status, picture.header("content-type")), (200, "image/png"), "{url}");
    assert_eq!(app.get(url.strip_prefix(&app.url).unwrap().split('?').next().unwrap()).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_sent_again_is_answered_with_the_same_picture() {
    let app = TestApp::start().await;
    let wish = json!({"prompt": "a heart", "steps": 2, "response_format": "b64_json"});
    let post = async |path: &str, body: &Value| {
        let request = app.request(Method::POST, path).header("idempotency-key", path);
        let answer = send(request.json(body)).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()
    };
    let [first, again] = [(); 2].map(|()| post("/v1/images/generations", &wish));
    let (first, again) = (first.await, again.await);
    assert_eq!(first["data"][0]["b64_json"], again["data"][0]["b64_json"], "its seed was drawn once");
    let wish = json!({"prompt": "a heart", "steps": 2, "width": 8, "height": 8});
    let [first, again] = [(); 2].map(|()| post("/sdapi/v1/txt2img", &wish));
    let (first, again) = (first.await, again.await);
    assert_eq!(first["images"], again["images"]);
    assert_eq!(app.get("/v1/jobs").await.json()["data"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn webui_clients_share_no_state() {
    let app = guarded().await;
    let (ann, bob) = (key(&app, "ann", &USER).await, key(&app, "bob", &USER).await);
    assert_eq!(app.get("/sdapi/v1/options").await.status, 401);
    let set = json!({"samples_format": "webp"});
    assert_eq!(basic(&app, &ann, Method::POST, "/sdapi/v1/options", Some(&set)).await.status, 200);
    let options = async |key: &str| basic(&app, key, Method::GET, "/sdapi/v1/options", None).await.json();
    assert_eq!(
        (&options(&ann).await["samples_format"], &options(&bob).await["samples_format"]),
        (&json!("webp"), &json!("png"))
    );

    let long =
        json!({"prompt": "a heart", "steps": 150, "batch_size": 8, "width": 8, "height": 8, "sampler_name": "DDIM"});
    let making = basic(&app, &ann, Method::POST, "/sdapi/v1/txt2img", Some(&long));
    let watching = async {
        let progress = async |key: &str| basic(&app, key, Method::GET, "/sdapi/v1/progress", None).await.json();
        while progress(&ann).await["state"]["job_count"] == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(progress(&bob).await["state"]["job_count"], 0, "another's job");
        assert_eq!(basic(&app, &bob, Method::POST, "/sdapi/v1/interrupt", None).await.status, 200);
    };
    let (made, ()) = tokio::join!(making, watching);
    assert_eq!(made.status, 200, "{}", made.json());
    let id = basic(&app, &ann, Method::GET, "/v1/jobs", None).await.json()["data"][0].clone();
    assert_eq!(id["progress"]["evaluations"], id["progress"]["of"], "it was not cut short by another");
    assert_eq!(basic(&app, &bob, Method::GET, "/v1/jobs", None).await.json()["data"], json!([]));
}
