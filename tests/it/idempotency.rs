//! `Idempotency-Key`: a wish that is sent again makes no second job (C47, D15).

use darkroom::access::Scope;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    access::{guarded, key},
    support::{
        app::{Answer, TestApp, send},
        pictures::{noise, png},
        server::Home,
    },
};

async fn post(app: &TestApp, name: &str, body: &Value) -> Answer {
    let request = app.request(Method::POST, "/v1/generations").header("idempotency-key", name);
    send(request.json(body)).await
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.json())).to_owned()
}

#[tokio::test]
async fn of_many_at_once_one_makes_the_job() {
    let app = TestApp::start().await;
    let body = json!({"steps": 200, "sampler": "ddpm", "label": 1});
    let answers = join_all((0..20).map(|_| post(&app, "one", &body))).await;
    assert!(answers.iter().all(|answer| answer.status == 202 && id(answer) == id(&answers[0])));
    let first = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_empty()).count();
    assert_eq!(first, 1, "the others say that they are replays");
    assert_eq!(app.get("/v1/jobs").await.json()["data"].as_array().unwrap().len(), 1);

    // Written otherwise, it is the same wish; with another value it is not.
    let spelt = app.request(Method::POST, "/v1/generations").header("idempotency-key", "one");
    let spelt = spelt.header("content-type", "application/json; charset=utf-8");
    let spelt = send(spelt.body(r#"{ "label": 1, "sampler": "ddpm", "steps": 200.0 }"#)).await;
    assert_eq!((spelt.status, id(&spelt)), (202, id(&answers[0])));
    let other = post(&app, "one", &json!({"steps": 201, "sampler": "ddpm", "label": 1})).await;
    assert_eq!((other.status, other.json()["code"].as_str().unwrap()), (422, "idempotency_conflict"));
    assert_ne!(id(&post(&app, "two", &body).await), id(&answers[0]));

    // A wait joins the job, and a refused wish is not remembered.
    let request = app.request(Method::POST, "/v1/generations").header("idempotency-key", "one");
    let joined = send(request.header("prefer", "wait=60").json(&body)).await;
    assert_eq!((joined.status, id(&joined)), (200, id(&answers[0])));
    assert_eq!(joined.json()["status"], "succeeded");
    assert_eq!(post(&app, "three", &json!({"steps": 0})).await.status, 422);
    assert_eq!(post(&app, "three", &json!({"steps": 1})).await.status, 202);
}

#[tokio::test]
async fn an_erased_job_stays_erased() {
    let app = TestApp::start().await;
    let first = post(&app, "one", &json!({"steps": 1})).await;
    assert_eq!(app.delete(&format!("/v1/jobs/{}", id(&first))).await.status, 204);
    assert_eq!(post(&app, "one", &json!({"steps": 1})).await.status, 410);
}

#[tokio::test]
async fn a_key_of_its_own_has_each_caller() {
    let app = guarded().await;
    let user = [Scope::Generate, Scope::Read];
    let (ann, bob) = (key(&app, "ann", &user).await, key(&app, "bob", &user).await);
    let ask = async |key: &str, steps: u32| {
        let request = app.request(Method::POST, "/v1/generations").bearer_auth(key).header("idempotency-key", "same");
        send(request.json(&json!({"steps": steps}))).await
    };
    let (first, second) = (ask(&ann, 1).await, ask(&bob, 2).await);
    assert_eq!((first.status, second.status), (202, 202), "another's key is no conflict");
    assert_ne!(id(&first), id(&second));
    assert_eq!(id(&ask(&ann, 1).await), id(&first));
}

#[tokio::test]
async fn forms_are_compared_by_their_parts() {
    let app = TestApp::start().await;
    let picture = png(&noise(8, 8));
    let ask = async |boundary: &str, strength: &str| {
        let part = |head: &str, bytes: &[u8]| {
            let head = format!("--{boundary}\r\ncontent-disposition: form-data; {head}\r\n\r\n");
            [head.as_bytes(), bytes, b"\r\n"].concat()
        };
        let image = part("name=\"image\"; filename=\"a.png\"", &picture);
        let [strength, steps] = [("strength", strength), ("steps", "2")]
            .map(|(name, text)| part(&format!("name=\"{name}\""), text.as_bytes()));
        let body = [image, strength, steps, format!("--{boundary}--\r\n").into_bytes()].concat();
        let request = app.request(Method::POST, "/v1/edits").header("idempotency-key", "one");
        let kind = format!("multipart/form-data; boundary={boundary}");
        send(request.header("content-type", kind).body(body)).await
    };
    let first = ask("a", "0.5").await;
    assert_eq!(id(&ask("b", "0.5").await), id(&first), "the boundary is no part of the wish");
    assert_eq!(ask("a", "0.6").await.status, 422);
}

#[tokio::test]
async fn bad_keys_are_named() {
    let app = TestApp::start().await;
    for bad in ["", &"x".repeat(256)] {
        let answer = post(&app, bad, &json!({"steps": 1})).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec!["/headers/idempotency-key".to_owned()]), "{bad}");
    }
}

#[tokio::test]
async fn a_key_outlives_the_process() {
    let home = Home::new();
    let body = json!({"steps": 3});
    let ask = async |server: &crate::support::server::Server| {
        let answer = server.post("/v1/generations", &body).header("idempotency-key", "one").send().await.unwrap();
        answer.json::<Value>().await.unwrap()["id"].clone()
    };
    let mut server = home.start();
    let first = ask(&server).await;
    server.kill();
    assert_eq!(ask(&home.start()).await, first);
}
