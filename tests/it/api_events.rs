//! Server-sent events: their order, their replay, their end.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{Sent, TestApp};

fn id(job: &Value) -> &str {
    job["id"].as_str().unwrap()
}

fn names(events: &[Sent]) -> Vec<&str> {
    events.iter().map(|event| event.event.as_str()).collect()
}

/// `attempt-n` as numbers.
fn place(event: &Sent) -> Option<(u64, u64)> {
    let (attempt, n) = event.id.as_deref()?.split_once('-')?;
    Some((attempt.parse().unwrap(), n.parse().unwrap()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_tells_its_story_from_the_first_event_to_the_last() {
    let app = TestApp::start().await;
    let body = json!({"count": 2, "steps": 1000, "sampler": "ddim", "preview_every": 300, "label": 0});
    let job = app.submit(&body).await;
    let events = app.events(id(&job), None).await;
    let seen = names(&events);
    assert_eq!((seen[0], seen[1], seen[seen.len() - 1]), ("queued", "started", "succeeded"));
    assert_eq!(seen.iter().filter(|name| ["succeeded", "failed", "canceled"].contains(name)).count(), 1);
    assert_eq!(seen.iter().filter(|name| **name == "image").count(), 2);

    let ids: Vec<_> = events.iter().map(|event| place(event).unwrap()).collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    let progress: Vec<_> = events.iter().filter(|event| event.event == "progress").map(|event| &event.data).collect();
    let counts: Vec<_> = progress.iter().map(|data| data["evaluations"].as_u64().unwrap()).collect();
    assert!(counts.windows(2).all(|pair| pair[0] < pair[1]), "{counts:?}");
    assert_eq!(progress.last().unwrap(), &&json!({"evaluations": 2000, "of": 2000}), "it ends exactly at it");

    let last = events.last().unwrap();
    assert_eq!(last.data, app.get(&format!("/v1/jobs/{}", id(&job))).await.json());
    let image = events.iter().find(|event| event.event == "image").unwrap();
    assert_eq!((&image.data["state"], image.data["size_bytes"].is_u64()), (&json!("ready"), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn previews_can_be_looked_at_while_the_job_runs() {
    let app = TestApp::start().await;
    let body = json!({"count": 16, "steps": 1000, "sampler": "ddim", "guidance": 3, "label": 1, "preview_every": 1});
    let job = app.submit(&body).await;
    let mut events = Vec::new();
    while !events.iter().any(|event: &Sent| event.event == "preview") {
        events = app.some_events(id(&job), None, events.len() + 1).await;
    }
    let preview = events.last().unwrap();
    let url = preview.data["url"].as_str().unwrap();
    assert_eq!(url, format!("/v1/jobs/{}/previews/{}", id(&job), preview.data["index"]));
    let answer = app.get(url).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "image/webp"));
    assert_eq!((&answer.body[..4], &answer.body[8..12]), (&b"RIFF"[..], &b"WEBP"[..]));
    assert_eq!(answer.header("cache-control"), "no-store");
    app.post(&format!("/v1/jobs/{}/cancel", id(&job)), &json!({})).await;
    assert_eq!(app.get(url).await.status, 404, "never stored");
}

/// C43
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_cut_goes_on_where_it_ended() {
    let app = TestApp::start().await;
    let job = app.submit(&json!({"count": 3, "steps": 1000, "sampler": "ddim"})).await;
    let all = app.events(id(&job), None).await;
    assert!(all.len() >= 6, "{:?}", names(&all));
    for cut in 0..all.len() - 1 {
        let rest = app.events(id(&job), all[cut].id.as_deref()).await;
        assert_eq!(rest, all[cut + 1..], "after {:?}", all[cut].id);
    }
    // What is unknown, from the future, or no id at all: the job as it is, then the end.
    for odd in ["9-999", "0-0", "x", "1-1-1", "18446744073709551616-1"] {
        let events = app.events(id(&job), Some(odd)).await;
        assert_eq!(names(&events).first(), Some(&"snapshot"), "{odd}");
        assert_eq!((events[0].id.as_ref(), names(&events).last()), (None, Some(&"succeeded")), "{odd}");
    }
    // Nothing comes after the end.
    let last = all.last().unwrap().id.as_deref();
    assert!(
        app.events(id(&job), last).await.iter().all(|event| ["snapshot", "succeeded"].contains(&event.event.as_str()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_a_finished_job_is_a_snapshot_and_its_end() {
    let app = TestApp::start().await;
    let job = app.generate(&json!({"steps": 2})).await;
    let events = app.events(id(&job), None).await;
    assert_eq!(names(&events), ["snapshot", "succeeded"]);
    assert_eq!((&events[0].data, &events[1].data), (&job, &job));
}

/// C44
#[tokio::test(flavor = "multi_thread")]
async fn every_stream_ends_whenever_it_was_opened() {
    let app = TestApp::start().await;
    for round in 0..500_u64 {
        let job = app.submit(&json!({"steps": 1})).await;
        tokio::time::sleep(Duration::from_micros(round * 7919 % 50_000 / 10)).await;
        let began = Instant::now();
        let events = app.events(id(&job), None).await;
        assert!(began.elapsed() < Duration::from_secs(2));
        let finals = events.iter().filter(|event| event.event == "succeeded").count();
        assert_eq!((finals, names(&events).last()), (1, Some(&"succeeded")), "{:?}", names(&events));
    }
}

/// C46
#[tokio::test(flavor = "multi_thread")]
async fn events_are_not_held_back() {
    let app = TestApp::start().await;
    let job = app.submit(&json!({"count": 16, "steps": 1000, "sampler": "ddim", "guidance": 3, "label": 1})).await;
    let began = Instant::now();
    let request =
        app.request(Method::GET, &format!("/v1/jobs/{}/events", id(&job))).header("accept-encoding", "gzip, br");
    let mut response = request.send().await.unwrap();
    let first = response.chunk().await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(first.starts_with(b"id: ") || first.starts_with(b"event: "));
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("content-type").as_deref(), Some("text/event-stream"));
    assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
    assert_eq!(header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(header("content-encoding"), None);
    app.post(&format!("/v1/jobs/{}/cancel", id(&job)), &json!({})).await;
}

/// A service that stops ends its streams, so that they do not hold it up.
#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_the_service_does() {
    let app = TestApp::start().await;
    let job = app.submit(&json!({"count": 16, "steps": 1000, "sampler": "ddim", "guidance": 3, "label": 1})).await;
    let request = app.request(Method::GET, &format!("/v1/jobs/{}/events", id(&job)));
    let response = request.send().await.unwrap();
    let reading = tokio::spawn(response.text());
    let began = Instant::now();
    app.stop().await;
    reading.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(4));
}
