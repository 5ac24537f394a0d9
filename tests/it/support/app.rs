//! The whole service in this process, on a port of the system's choice, with everything in memory.

use std::{sync::Arc, time::Duration};

use darkroom::{app::App, config::Config, http::serve::serve};
use futures_util::StreamExt;
use reqwest::{Client, Method, RequestBuilder, header::HeaderMap};
use serde_json::Value;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A running service and a client of it. It ends with the test.
pub struct TestApp {
    pub app: Arc<App>,
    pub url: String,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    /// A header's text, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The pointers of the faults, which must be a problem's.
    pub fn pointers(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    }
}

/// One server-sent event.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    pub id: Option<String>,
    pub event: String,
    pub data: Value,
}

impl TestApp {
    /// The service with the exact model.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The service with the exact model and some other settings.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::for_testing();
        config.models.default = "gaussian".into();
        config.models.dir = "no-such-folder".into();
        config.engine.tick_ms = 5000;
        config.drain.timeout_s = 0;
        change(&mut config);
        let app = App::start(config).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(app.clone(), listener, None, async move { drop(stopped.await) }));
        Self { app, url, client: Client::new(), stop: Some(stop), served }
    }

    /// A request to build on.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::POST, path).json(body)).await
    }

    /// Posts these very bytes as a generation.
    pub async fn post_text(&self, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::POST, "/v1/generations").header("content-type", "application/json");
        send(request.body(body)).await
    }

    /// Posts a generation, which must be accepted, and answers its job at once.
    pub async fn submit(&self, body: &Value) -> Value {
        let answer = self.post("/v1/generations", body).await;
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    /// Posts a generation and answers the finished job, which must have succeeded.
    pub async fn generate(&self, body: &Value) -> Value {
        self.done(self.request(Method::POST, "/v1/generations").json(body)).await
    }

    /// Posts an edit and answers the finished job, which must have succeeded.
    pub async fn edit(&self, body: &Value) -> Value {
        self.done(self.request(Method::POST, "/v1/edits").json(body)).await
    }

    /// Sends a request for pictures and answers the finished job, which must have succeeded.
    pub async fn done(&self, request: RequestBuilder) -> Value {
        let answer = send(request.header("prefer", "wait=60")).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let job = answer.json();
        assert_eq!(job["status"], "succeeded", "{job}");
        job
    }

    /// The bytes of a finished job's picture, as made.
    pub async fn picture(&self, job: &Value, index: usize) -> Vec<u8> {
        let answer = self.get(job["images"][index]["url"].as_str().unwrap()).await;
        assert_eq!(answer.status, 200);
        answer.body
    }

    /// The pixels of a finished job's picture.
    pub async fn pixels(&self, job: &Value, index: usize) -> image::RgbImage {
        image::load_from_memory(&self.picture(job, index).await).unwrap().to_rgb8()
    }

    /// All events of a job after `last`, up to the end of the stream, which must come within ten seconds.
    pub async fn events(&self, id: &str, last: Option<&str>) -> Vec<Sent> {
        tokio::time::timeout(Duration::from_secs(10), self.some_events(id, last, usize::MAX)).await.unwrap()
    }

    /// The first `most` events after `last`; then the connection is cut.
    pub async fn some_events(&self, id: &str, last: Option<&str>, most: usize) -> Vec<Sent> {
        let mut request = self.request(Method::GET, &format!("/v1/jobs/{id}/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let mut chunks = request.send().await.unwrap().bytes_stream();
        let (mut text, mut events) = (String::new(), Vec::new());
        while events.len() < most {
            let Some(chunk) = chunks.next().await else { break };
            text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
            while let Some((block, rest)) =
                text.split_once("\n\n").map(|(block, rest)| (block.to_owned(), rest.to_owned()))
            {
                events.extend(event(&block));
                text = rest;
            }
        }
        events.truncate(most);
        events
    }

    /// Tells the service to stop, and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        self.served.await.unwrap();
    }
}

/// Sends a request and reads the answer to its end.
pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
}

/// A block of an event stream; comments are none.
pub fn event(block: &str) -> Option<Sent> {
    let field =
        |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned());
    let data = field("data:")?;
    Some(Sent { id: field("id:"), event: field("event:").unwrap(), data: serde_json::from_str(&data).unwrap() })
}
