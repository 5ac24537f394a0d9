//! Webhooks: signed, told until they are heard, and never sent inside.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use darkroom::{
    access::Scope,
    webhooks::guard::{Guard, is_outside},
};
use reqwest::{Method, Url, header::HeaderMap};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

use crate::{
    access::{guarded_with, key},
    support::app::{TestApp, send},
};

/// What a receiver got: its headers, lower case, and its body.
struct Got {
    head: String,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name}: {}", self.head)).trim()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A receiver that gives these answers in turn, the last for ever; what it got comes through the channel.
async fn receiver(answers: &[&str]) -> (u16, UnboundedReceiver<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = unbounded_channel();
    let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    tokio::spawn(async move {
        for turn in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            let (head, length) = loop {
                let mut chunk = [0; 4096];
                let read = stream.read(&mut chunk).await.unwrap();
                bytes.extend_from_slice(&chunk[..read]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let Some((head, _)) = text.split_once("\r\n\r\n") {
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                    break (head.to_owned(), length.parse::<usize>().unwrap());
                }
                if read == 0 {
                    break (String::new(), 0);
                }
            };
            while bytes.len() < head.len() + 4 + length {
                let mut chunk = [0; 4096];
                let read = stream.read(&mut chunk).await.unwrap();
                bytes.extend_from_slice(&chunk[..read]);
            }
            let body = String::from_utf8(bytes.split_off(head.len() + 4)).unwrap();
            let answer = answers.get(turn).unwrap_or(answers.last().unwrap());
            let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
            if tell.send(Got { head, body }).is_err() {
                return;
            }
        }
    });
    (port, told)
}

async fn next(told: &mut UnboundedReceiver<Got>) -> Got {
    tokio::time::timeout(Duration::from_secs(20), told.recv()).await.expect("a webhook").unwrap()
}

async fn open() -> TestApp {
    TestApp::with(|config| config.webhooks.private_hosts = vec!["127.0.0.1".into()]).await
}

fn asking(port: u16, events: &[&str]) -> Value {
    json!({"steps": 2, "webhook": {"url": format!("http://127.0.0.1:{port}/hook"), "events": events}})
}

#[tokio::test]
async fn news_are_signed_as_standard_webhooks_says() {
    let app = open().await;
    let (port, mut told) = receiver(&["204 No Content"]).await;
    let job = app.generate(&asking(port, &["started", "succeeded"])).await;
    let (first, second) = (next(&mut told).await, next(&mut told).await);
    let mut types = [&first, &second].map(|got| got.json()["type"].as_str().unwrap().to_owned());
    types.sort();
    assert_eq!(types, ["job.started", "job.succeeded"]);

    let secret = app.app.door.signer.secret(&None);
    let check = standardwebhooks::Webhook::new(&secret).unwrap();
    for got in [&first, &second] {
        let mut headers = HeaderMap::new();
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            headers.insert(name, got.header(name).parse().unwrap());
        }
        check.verify(got.body.as_bytes(), &headers).unwrap();
        assert!(check.verify(b"{}", &headers).is_err());
        assert_eq!(got.json()["data"]["id"], job["id"]);
        assert!(got.head.contains("content-type: application/json"));
    }
    assert_ne!(first.header("webhook-id"), second.header("webhook-id"));
    let last = [first, second].into_iter().find(|got| got.json()["type"] == "job.succeeded").unwrap();
    assert_eq!(last.json()["data"]["status"], "succeeded");
}

#[tokio::test]
async fn what_is_not_taken_is_sent_again_under_the_same_id() {
    let app = open().await;
    let (port, mut told) = receiver(&["503 Busy", "204 No Content"]).await;
    app.generate(&asking(port, &["succeeded"])).await;
    let (first, second) = (next(&mut told).await, next(&mut told).await);
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
    let metrics = String::from_utf8(app.get("/metrics").await.body).unwrap();
    assert!(metrics.contains(r#"darkroom_webhooks_total{outcome="retried"} 1"#));
}

#[tokio::test]
async fn cancels_and_failures_are_told_too() {
    let app = open().await;
    let (port, mut told) = receiver(&["200 OK"]).await;
    let mut body = asking(port, &["canceled"]);
    body["steps"] = 1000.into();
    body["count"] = 16.into();
    let id = app.submit(&body).await["id"].as_str().unwrap().to_owned();
    app.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).await;
    assert_eq!(next(&mut told).await.json()["type"], "job.canceled");
}

#[tokio::test]
async fn each_key_has_a_secret_of_its_own() {
    let app = guarded_with(|config| config.webhooks.private_hosts = vec!["127.0.0.1".into()]).await;
    let (port, mut told) = receiver(&["200 OK"]).await;
    let ann = key(&app, "ann", &[Scope::Generate]).await;
    let ask = app.request(Method::POST, "/v1/generations").bearer_auth(&ann);
    assert_eq!(send(ask.json(&asking(port, &["succeeded"]))).await.status, 202);
    let got = next(&mut told).await;
    let (keys, mut headers) = (app.app.store.keys().await.unwrap(), HeaderMap::new());
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, got.header(name).parse().unwrap());
    }
    let own = app.app.door.signer.secret(&Some(keys[0].0.owner().into()));
    let verify = |secret: &str| standardwebhooks::Webhook::new(secret).unwrap().verify(got.body.as_bytes(), &headers);
    assert!(verify(&own).is_ok() && verify(&app.app.door.signer.secret(&None)).is_err());
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let app = open().await;
    let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("302 Found\r\nlocation: http://127.0.0.1:{}/secret", inner.local_addr().unwrap().port());
    let (port, mut told) = receiver(&[&target]).await;
    app.generate(&asking(port, &["succeeded"])).await;
    next(&mut told).await;
    let visited = tokio::time::timeout(Duration::from_millis(800), inner.accept()).await;
    assert!(visited.is_err(), "the redirect was followed");
}

#[tokio::test]
async fn addresses_inside_are_refused_before_anything_is_stored() {
    let app = TestApp::start().await;
    for url in [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.1.2.3:8080/",
        "http://192.168.0.1/",
        "http://100.64.0.1/",
        "http://0.0.0.0/",
        "http://localhost:9/",
        "http://app.localhost/",
        "https://user:secret@example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "example.org",
        "",
        &format!("https://example.org/{}", "a".repeat(3000)),
    ] {
        let answer = app.post("/v1/generations", &json!({"steps": 1, "webhook": {"url": url}})).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec!["/webhook/url".to_owned()]), "{url}");
    }
    for (events, pointer) in [(json!([]), "/webhook/events"), (json!(["done"]), "/webhook/events/0")] {
        let webhook = json!({"url": "https://example.org/", "events": events});
        let answer = app.post("/v1/generations", &json!({"steps": 1, "webhook": webhook})).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec![pointer.to_owned()]));
    }
    assert_eq!(app.get("/v1/jobs").await.json()["data"], json!([]));
}

#[test]
fn the_networks_that_are_set_apart_are_inside() {
    let inside = "0.1.2.3 10.0.0.1 100.127.255.254 127.0.0.1 169.254.1.1 172.31.0.1 192.0.0.8 192.0.2.1 192.168.1.1 \
                  198.19.0.1 198.51.100.1 203.0.113.9 224.0.0.1 240.0.0.1 255.255.255.255 :: ::1 ::7f00:1 fc00::1 \
                  fdff::1 fe80::1 ff02::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::1 2001::1 2001:db8::1 100::1";
    for address in inside.split_whitespace() {
        assert!(!is_outside(address.parse().unwrap()), "{address}");
    }
    for address in
        "1.1.1.1 100.63.0.1 172.32.0.1 198.20.0.1 2606:4700::1 2a00:1450::1 ::ffff:8.8.8.8".split_whitespace()
    {
        assert!(is_outside(address.parse().unwrap()), "{address}");
    }
}

/// A name that is outside when it is looked at, and inside when it is called.
#[tokio::test]
async fn a_name_that_changes_its_mind_is_looked_up_once_and_checked() {
    let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = inner.local_addr().unwrap().port();
    for (answers, reached) in [(vec!["93.184.215.14", "127.0.0.1"], false), (vec!["127.0.0.1"], false)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let lookup: darkroom::webhooks::guard::Lookup = Arc::new(move |_| {
            let turn = count.fetch_add(1, SeqCst).min(answers.len() - 1);
            let address: IpAddr = answers[turn].parse().unwrap();
            Box::pin(async move { Ok(vec![address]) })
        });
        let guard = Guard::new(&[]).looking_up(lookup);
        let url = Url::parse(&format!("http://rebound.example:{port}/")).unwrap();
        assert!(guard.allows(&url).is_ok(), "a name shows nothing by itself");
        let client = guard.client(Duration::from_millis(700)).unwrap();
        let answer = client.post(url).send().await;
        assert!(answer.is_err());
        assert_eq!(asked.load(SeqCst), 1, "looked up once for each connection");
        let visited = tokio::time::timeout(Duration::from_millis(100), inner.accept()).await.is_ok();
        assert_eq!(visited, reached);
    }
}
