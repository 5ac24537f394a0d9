//! Pages of other origins, as browsers ask for them (C37).

use reqwest::Method;
use serde_json::json;

use crate::support::app::{Answer, TestApp, send};

const PAGE: &str = "https://gallery.example";

async fn shop() -> TestApp {
    TestApp::with(|config| {
        config.cors.origins = vec![PAGE.into(), "http://127.0.0.1:3000".into()];
        config.limits.body_bytes = 1000;
        config.queue.max_depth = 0;
    })
    .await
}

async fn from(app: &TestApp, origin: &str, method: Method, path: &str, kind: &str, body: &str) -> Answer {
    let request = app.request(method, path).header("origin", origin).header("content-type", kind);
    send(request.body(body.to_owned())).await
}

#[tokio::test]
async fn answers_of_every_kind_can_be_read_by_listed_pages_alone() {
    let app = shop().await;
    let json = "application/json";
    let large = json!({"prompt": "a".repeat(2000)}).to_string();
    let tries = [
        (200, Method::GET, "/v1/models", json, ""),
        (400, Method::POST, "/v1/generations", json, "{"),
        (404, Method::GET, "/v1/jobs/none", json, ""),
        (405, Method::DELETE, "/v1/models", json, ""),
        (413, Method::POST, "/v1/generations", json, &large),
        (415, Method::POST, "/v1/generations", "text/plain", "{}"),
        (422, Method::POST, "/v1/generations", json, r#"{"steps": 0}"#),
        (429, Method::POST, "/v1/generations", json, "{}"),
    ];
    for (status, method, path, kind, body) in tries {
        let answer = from(&app, PAGE, method.clone(), path, kind, body).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), PAGE, "{status}");
        let exposed = answer.header("access-control-expose-headers");
        assert!(exposed.contains("x-request-id") && exposed.contains("retry-after"), "{status}: {exposed}");
        assert!(varies(&answer), "{status}");

        let foreign = from(&app, "https://evil.example", method, path, kind, body).await;
        assert_eq!(foreign.header("access-control-allow-origin"), "", "{status}");
        assert!(varies(&foreign), "{status}");
    }
}

fn varies(answer: &Answer) -> bool {
    answer.headers.get_all("vary").iter().any(|value| value.to_str().unwrap().to_ascii_lowercase().contains("origin"))
}

#[tokio::test]
async fn a_page_may_send_what_clients_send() {
    let app = shop().await;
    let ask = |origin: &str| {
        app.request(Method::OPTIONS, "/v1/generations")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization, content-type, idempotency-key, x-stainless-os")
    };
    let answer = send(ask(PAGE)).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, PAGE));
    let allowed = answer.header("access-control-allow-headers").to_ascii_lowercase();
    for name in ["authorization", "content-type", "idempotency-key", "x-stainless-os"] {
        assert!(allowed.contains(name), "{allowed}");
    }
    assert!(answer.header("access-control-allow-methods").contains("POST"));
    assert_eq!(send(ask("https://evil.example")).await.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn without_origins_no_page_is_let_in() {
    let app = TestApp::start().await;
    let answer = from(&app, PAGE, Method::GET, "/v1/models", "", "").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, ""));
}

#[test]
fn what_is_no_origin_is_refused_at_start() {
    let layer = |origin: &str| darkroom::http::cors::layer(&darkroom::config::Cors { origins: vec![origin.into()] });
    for good in ["https://example.org", "http://localhost:3000", "*"] {
        assert!(layer(good).unwrap().is_some(), "{good}");
    }
    for wrong in ["example.org", "https://example.org/page", "https://*.example.org", "null", ""] {
        assert!(layer(wrong).unwrap_err().contains("cors.origins"), "{wrong}");
    }
}
