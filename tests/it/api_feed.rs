//! `GET /v1/events`: one stream for all jobs of a key.

use std::time::Duration;

use darkroom::access::Scope;
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    access::{guarded, key},
    support::app::{Sent, TestApp, event, send},
};

const USER: [Scope; 2] = [Scope::Generate, Scope::Read];

/// Opens the stream; what comes back reads it until a condition holds.
struct Feed {
    chunks: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    text: String,
}

impl Feed {
    async fn open(app: &TestApp, key: &str, last: Option<&str>) -> Self {
        let mut request = app.request(Method::GET, "/v1/events").bearer_auth(key);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self { chunks: response.bytes_stream().boxed(), text: String::new() }
    }

    async fn next(&mut self) -> Sent {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(event) = event(&block) {
                    return event;
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.chunks.next()).await.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
        }
    }

    /// Events up to so many final ones.
    async fn until_ended(&mut self, jobs: usize) -> Vec<Sent> {
        let (mut events, mut ended) = (Vec::new(), 0);
        while ended < jobs {
            let event = self.next().await;
            ended += usize::from(event.event == "succeeded");
            events.push(event);
        }
        events
    }
}

async fn make(app: &TestApp, key: &str, body: Value) -> String {
    let answer = send(app.request(Method::POST, "/v1/generations").bearer_auth(key).json(&body)).await;
    assert_eq!(answer.status, 202);
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn it_tells_of_all_jobs_of_the_key_and_of_no_others() {
    let app = guarded().await;
    let (ann, bob) = (key(&app, "ann", &USER).await, key(&app, "bob", &USER).await);
    let admin = key(&app, "admin", &[Scope::Admin]).await;
    let mut feed = Feed::open(&app, &ann, None).await;
    let mut all = Feed::open(&app, &admin, None).await;
    let theirs = make(&app, &bob, json!({"steps": 2})).await;
    let mine = [make(&app, &ann, json!({"steps": 3})).await, make(&app, &ann, json!({"steps": 2, "count": 2})).await];

    let events = feed.until_ended(2).await;
    for id in &mine {
        let own: Vec<_> = events.iter().filter(|event| event.data["job"] == *id.as_str()).collect();
        let names: Vec<_> = own.iter().map(|event| event.event.as_str()).collect();
        assert_eq!((names[0], names[1], *names.last().unwrap()), ("queued", "started", "succeeded"), "{names:?}");
        assert!(names.contains(&"progress") && names.contains(&"image"));
        assert_eq!(own.last().unwrap().data["data"]["id"], *id.as_str());
    }
    assert!(events.iter().all(|event| event.data["job"] != *theirs), "another key's job");
    assert!(all.until_ended(3).await.iter().any(|event| event.data["job"] == *theirs));

    // The same events as the job's own stream, in its order.
    let own = send(app.request(Method::GET, &format!("/v1/jobs/{}/events", mine[0])).bearer_auth(&ann)).await;
    let own: Vec<Value> =
        String::from_utf8(own.body).unwrap().split("\n\n").filter_map(event).map(|event| event.data).collect();
    let told: Vec<_> =
        events.iter().filter(|event| event.data["job"] == *mine[0]).map(|event| &event.data["data"]).collect();
    assert_eq!(own.last(), told.last().copied());
    assert!(told.iter().any(|data| data["evaluations"].is_u64()));
}

#[tokio::test]
async fn a_broken_stream_goes_on_where_it_ended() {
    let app = guarded().await;
    let ann = key(&app, "ann", &USER).await;
    let mut feed = Feed::open(&app, &ann, None).await;
    make(&app, &ann, json!({"steps": 3})).await;
    let events = feed.until_ended(1).await;
    drop(feed);
    let ids: Vec<_> = events.iter().map(|event| event.id.clone().unwrap()).collect();
    make(&app, &ann, json!({"steps": 1})).await;
    for (at, id) in ids.iter().enumerate() {
        let mut again = Feed::open(&app, &ann, Some(id)).await;
        let rest = again.until_ended(if at + 1 == ids.len() { 1 } else { 2 }).await;
        assert_eq!(rest[..events.len() - at - 1], events[at + 1..], "after {id}");
    }
}

#[tokio::test]
async fn what_was_missed_comes_as_snapshots() {
    let app = guarded().await;
    let (ann, bob) = (key(&app, "ann", &USER).await, key(&app, "bob", &USER).await);
    let long = json!({"steps": 1000, "sampler": "ddpm", "count": 16, "guidance": 3, "label": 1});
    make(&app, &bob, long.clone()).await;
    let running = make(&app, &ann, long).await;
    for unknown in ["1-1", "0-7", "nonsense"] {
        let event = Feed::open(&app, &ann, Some(unknown)).await.next().await;
        assert_eq!((event.event.as_str(), &event.id, &event.data["job"]), ("snapshot", &None, &json!(running)));
        assert_eq!(event.data["data"]["id"], *running);
    }
}
