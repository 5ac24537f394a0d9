//! Everything that is refused before it is looked at: problem documents, content types, sizes, paths, methods, ids.

use std::time::{Duration, Instant};

use axum::{Router, body::Body, routing::get};
use darkroom::http::surround;
use insta::assert_json_snapshot;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::ServiceExt;

use crate::support::app::{TestApp, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_problem_is_a_document_that_openai_clients_can_read() {
    let app = TestApp::start().await;
    let answer = app.post("/v1/generations", &json!({"count": 17, "widht": 64})).await;
    assert_eq!((answer.status, answer.header("content-type")), (422, "application/problem+json"));
    let mut document = answer.json();
    let known = document["errors"][1]["message"].as_str().unwrap().split("Known").next().unwrap().to_owned();
    document["errors"][1]["message"] = known.into();
    assert_json_snapshot!(document, @r#"
    {
      "code": "invalid_request",
      "detail": "2 fields are not valid",
      "error": {
        "code": "invalid_request",
        "message": "2 fields are not valid",
        "param": "count",
        "type": "invalid_request_error"
      },
      "errors": [
        {
          "message": "must be at most 16",
          "pointer": "/count"
        },
        {
          "message": "unknown field `widht`; did you mean `width`? ",
          "pointer": "/widht"
        }
      ],
      "instance": "/v1/generations",
      "status": 422,
      "title": "The request is not valid",
      "type": "/problems/invalid_request"
    }
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_methods_and_ids_are_problems() {
    let app = TestApp::start().await;
    let id = "01890000-0000-7000-8000-000000000000";
    let cases = [
        ("GET", "/", 404),
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/films", 404),
        ("PUT", "/v1/jobs", 405),
        ("GET", "/v1/generations", 405),
        ("GET", "/v1/jobs/not-an-id", 404),
        ("GET", "/problems/nothing", 404),
        ("GET", "/v1/models/nothing", 404),
        ("GET", &format!("/v1/jobs/{id}"), 404),
        ("DELETE", &format!("/v1/jobs/{id}"), 404),
        ("POST", &format!("/v1/jobs/{id}/cancel"), 404),
        ("GET", &format!("/v1/jobs/{id}/events"), 404),
        ("GET", &format!("/v1/jobs/{id}/previews/0"), 404),
        ("GET", &format!("/v1/images/{id}"), 404),
        ("GET", &format!("/v1/files/{id}"), 404),
    ];
    for (method, path, status) in cases {
        let answer = send(app.request(method.parse().unwrap(), path)).await;
        let problem = answer.json();
        assert_eq!((answer.status, problem["status"].as_u64()), (status, Some(u64::from(status))), "{method} {path}");
        assert_eq!((answer.header("content-type"), &problem["instance"]), ("application/problem+json", &json!(path)));
        assert!(!answer.header("x-request-id").is_empty());
        if status == 405 {
            assert!(!answer.header("allow").is_empty(), "{path}");
        }
    }
}

/// C35
#[tokio::test(flavor = "multi_thread")]
async fn content_types() {
    let app = TestApp::start().await;
    let post = async |content_type: Option<&str>| {
        let mut request = app.request(Method::POST, "/v1/generations").body(r#"{"steps": 1}"#);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        send(request).await
    };
    for good in [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "APPLICATION/JSON; Charset=UTF-8",
        "application/vnd.x+json",
    ] {
        assert_eq!(post(Some(good)).await.status, 202, "{good}");
    }
    for bad in
        [None, Some("text/plain"), Some("multipart/form-data; boundary=x"), Some("application/xml"), Some("json")]
    {
        let answer = post(bad).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (415, Some("unsupported_media_type")), "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_is_400() {
    let app = TestApp::start().await;
    let deep = "[".repeat(100_000);
    for bad in [
        "",
        "{",
        "{\"count\": 1,}",
        "{'count': 1}",
        "NaN",
        "{\"guidance\": NaN}",
        "{\"steps\": 01}",
        "{} {}",
        "\u{feff}{}",
        &deep,
    ] {
        let answer = app.post_text(bad.to_owned()).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (400, Some("invalid_json")),
            "{}",
            &bad[..bad.len().min(40)]
        );
    }
    // D9: a lone surrogate is not JSON text, nor are bytes that are not UTF-8.
    assert_eq!(app.post_text(r#"{"prompt": "\ud83d"}"#).await.status, 400);
    assert_eq!(app.post_text(r#"{"prompt": "\ude00 x"}"#).await.status, 400);
    assert_eq!(app.post_text(b"{\"prompt\": \"\xff\"}".to_vec()).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicated_keys_are_named_at_any_depth() {
    let app = TestApp::start().await;
    for (body, pointer) in [
        (r#"{"count": 1, "steps": 2, "count": 2}"#, "/count"),
        (r#"{"output": {"format": "png", "format": "jpeg"}}"#, "/output/format"),
        (r#"{"sampler": {"name": "ddim", "eta": 0, "eta": 1}}"#, "/sampler/eta"),
        (r#"{"metadata": {"a/b": "x", "a/b": "y"}}"#, "/metadata/a~1b"),
        (r#"{"prompt": "a", "pr\u006fmpt": "b"}"#, "/prompt"),
    ] {
        let answer = app.post_text(body).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec![pointer.to_owned()]), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_are_413_whether_declared_or_not() {
    let app = TestApp::with(|config| config.limits.body_bytes = 2000).await;
    let body = |bytes: usize| format!(r#"{{"prompt": "{}"}}"#, "x".repeat(bytes - 14));
    assert_eq!(app.post_text(body(2000)).await.status, 202);
    let answer = app.post_text(body(2001)).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("body_too_large")));
    // Chunked, without a declared length.
    let chunks = (0..30).map(|_| Ok::<_, std::io::Error>("x".repeat(100)));
    let answer = app.post_text(reqwest::Body::wrap_stream(futures_util::stream::iter(chunks))).await;
    assert_eq!(answer.status, 413);
    assert_eq!(app.generate(&json!({"steps": 1})).await["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_values_is_refused() {
    let app = TestApp::start().await;
    let answer = app.post_text(format!(r#"{{"sampler": [{}1]}}"#, "1,".repeat(200_000))).await;
    assert_eq!(answer.status, 422);
    assert!(answer.pointers()[0].starts_with("/sampler/"), "{:?}", answer.pointers());
}

#[tokio::test(flavor = "multi_thread")]
async fn request_ids_are_echoed_where_they_are_sane() {
    let app = TestApp::start().await;
    let long = "x".repeat(129);
    for (sent, echoed) in
        [("abc-123/4", true), (&long[..128], true), (&long, false), ("with blank", false), ("", false)]
    {
        let answer = send(app.request(Method::GET, "/livez").header("x-request-id", sent)).await;
        let id = answer.header("x-request-id");
        assert!(!id.is_empty());
        assert_eq!(id == sent, echoed, "{sent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_handler_is_a_problem() {
    let app = TestApp::start().await;
    let broken = Router::new().route("/broken", get(async || -> &'static str { panic!("on purpose") }));
    let service = surround(broken, app.app.clone());
    let request = axum::http::Request::get("/broken").header("x-request-id", "mine").body(Body::empty()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["x-request-id"].to_str().unwrap()), (500, "mine"));
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&problem["code"], &problem["error"]["type"]), (&json!("internal"), &json!("server_error")));
    assert!(!problem.to_string().contains("on purpose"));
}

/// A client that is slow with its headers is let go; one that is slow with its body hears why.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_do_not_hold_connections() {
    let app = TestApp::with(|config| config.http.request_timeout_s = 1).await;
    let address = app.url.trim_start_matches("http://").to_owned();
    let speak = async |text: &str| {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let (began, mut answer) = (Instant::now(), Vec::new());
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        assert!(began.elapsed() > Duration::from_millis(500));
        String::from_utf8(answer).unwrap()
    };
    let answer = speak(
        "POST /v1/generations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"deadline\""), "{answer}");
    let answer = speak("GET /livez HTTP/1.1\r\nhost: ").await;
    assert!(!answer.contains("200 OK"), "{answer}");
    // A stream that says nothing for longer than that goes on.
    assert_eq!(app.get("/livez").await.status, 200);
}
