//! What people try against a service on a network: paths, heads and bodies that no client sends.

use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Duration, timeout},
};

use crate::support::app::{TestApp, send};

/// Sends these very bytes; answers what came back until the server closed or had nothing more to say.
async fn raw(app: &TestApp, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(app.url.strip_prefix("http://").unwrap()).await.unwrap();
    // A server that refuses early closes while we write.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut chunk = [0; 16384];
    while let Ok(Ok(read @ 1..)) = timeout(Duration::from_millis(700), stream.read(&mut chunk)).await {
        answer.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

async fn alive(app: &TestApp) {
    assert_eq!(app.get("/livez").await.status, 200);
    app.generate(&json!({"steps": 1})).await;
}

#[tokio::test]
async fn no_path_leads_out_of_the_house() {
    let app = TestApp::start().await;
    for path in [
        "/v1/images/../../../../etc/passwd",
        "/v1/images/..%2f..%2f..%2fetc%2fpasswd",
        "/v1/images/%2e%2e/%2e%2e/etc/passwd",
        "/v1/files/..%5c..%5cetc%5cpasswd",
        "/v1/files/%00",
        "/v1/models/..%2f..%2fetc%2fpasswd",
        "/v1/models/%2e%2e",
        "/v1/jobs/..%2fjobs/events",
        "/docs/../../etc/passwd",
        "/docs/..%2f..%2fetc%2fpasswd",
        "/docs/%2e%2e/%2e%2e/etc/passwd",
        "/problems/..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
    ] {
        let answer = raw(&app, format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert!(["404", "400"].contains(&status), "{path}: {answer:.300}");
        assert!(!answer.contains("root:"), "{path}");
    }
    for model in ["../emoji64", "/etc", "emoji64/../../etc", "."] {
        let answer = app.post("/v1/generations", &json!({"model": model})).await;
        assert_eq!((answer.status, answer.json()["code"].as_str().unwrap()), (404, "model_not_found"), "{model}");
    }
    for blob in ["sha256:../../etc/passwd", "../etc/passwd", "sha256:", "file:///etc/passwd"] {
        let answer = app.post("/v1/edits", &json!({"image": {"blob": blob}, "prompt": ""})).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec!["/image".to_owned()]), "{blob}");
    }
    alive(&app).await;
}

#[tokio::test]
async fn heads_that_no_client_sends_are_refused() {
    let app = TestApp::start().await;
    let long = "a".repeat(600_000);
    let many: String = (0..500).map(|at| format!("x-{at}: y\r\n")).collect();
    let refused = [
        format!("GET /livez HTTP/1.1\r\nhost: x\r\nx-long: {long}\r\n\r\n"),
        format!("GET /livez?{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("GET /livez HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
        "GET /livez HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n".into(),
        "GET /livez HTTP/9.9\r\nhost: x\r\n\r\n".into(),
        "POST /v1/generations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: -1\r\n\r\n{}"
            .into(),
        "POST /v1/generations HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}".into(),
        "POST /v1/generations HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".into(),
    ];
    for text in refused {
        let answer = raw(&app, text.as_bytes()).await;
        let status = answer.split(' ').nth(1).unwrap_or("closed");
        assert!(status == "closed" || status.starts_with('4') || status == "505", "{text:.80}: {answer:.200}");
    }
    // Two lengths for one body let a proxy and a server disagree on where the next request begins.
    let smuggled = "POST /v1/generations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\
                    transfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/jobs HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = raw(&app, smuggled.as_bytes()).await;
    assert!(answer.matches("HTTP/1.1").count() <= 1 || !answer.contains("\"object\":\"list\""), "{answer:.300}");
    for (name, value) in
        [("prefer", "wait=99999999999999999999"), ("accept", ";;;,,,q=q"), ("range", "bytes=0-0,1-1,-1")]
    {
        let answer = send(app.request(Method::GET, "/v1/models").header(name, value)).await;
        assert_eq!(answer.status, 200, "{name}");
    }
    alive(&app).await;
}

#[tokio::test]
async fn forms_that_no_client_sends_are_refused() {
    let app = TestApp::start().await;
    let part = |head: &str, text: &str| format!("--b\r\ncontent-disposition: form-data{head}\r\n\r\n{text}\r\n");
    let many: String = (0..5000).map(|at| part(&format!("; name=\"f{at}\""), "x")).collect();
    let long = format!("; name=\"{}\"", "n".repeat(100_000));
    let bodies = [
        ("many parts", format!("{many}--b--\r\n")),
        ("a long name", format!("{}--b--\r\n", part(&long, "x"))),
        ("no name", format!("{}--b--\r\n", part("", "x"))),
        ("no end", part("; name=\"prompt\"", "x")),
        ("twice", format!("{0}{0}--b--\r\n", part("; name=\"prompt\"", "x"))),
        ("a path as file name", format!("{}--b--\r\n", part("; name=\"image\"; filename=\"../../etc/passwd\"", "x"))),
        ("nothing", String::new()),
        ("another boundary", "--c\r\n\r\n--c--".into()),
    ];
    for (what, body) in bodies {
        let request = app.request(Method::POST, "/v1/edits").header("content-type", "multipart/form-data; boundary=b");
        let answer = send(request.body(body)).await;
        assert!([400, 422].contains(&answer.status), "{what}: {}", answer.status);
        assert!(answer.json()["detail"].as_str().unwrap().len() < 700, "{what}");
    }
    // A body that is packed is not unpacked.
    let packed = app.request(Method::POST, "/v1/generations").header("content-type", "application/json");
    let packed = send(packed.header("content-encoding", "gzip").body(vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0])).await;
    assert_eq!(packed.status, 400);
    alive(&app).await;
}
