//! Many clients, more than the queue takes, and clients that dawdle.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{BIG, long, wish};
use crate::support::server::{PATIENCE, Server};

#[tokio::test]
async fn concurrent_clients_each_get_their_own_pictures_and_times_are_utc() {
    let dir = TempDir::new().unwrap();
    let server = Server::start(dir.path(), &[("TZ", "Asia/Tokyo")]).await;
    let wishes: Vec<_> = (0..32).map(|seed| wish(seed, 2, 3 + seed as u32 % 5)).collect();
    let answers = futures_util::future::join_all(wishes.iter().map(|wish| server.generate(wish))).await;
    let mut ids = BTreeSet::new();
    for (wish, answer) in wishes.iter().zip(answers) {
        let (status, job) = answer.unwrap();
        assert_eq!((status, &job["status"], &job["request"]["seed"]), (200, &json!("succeeded"), &wish["seed"]));
        assert!(ids.insert(job["id"].as_str().unwrap().to_owned()));
        let times = ["created_at", "started_at", "finished_at"].map(|name| job[name].as_str().unwrap().to_owned());
        assert!(times.iter().all(|time| time.ends_with('Z')), "{times:?}");
        let times = times.map(|time| time.parse::<jiff::Timestamp>().unwrap());
        assert!(times.is_sorted() && jiff::Timestamp::now().duration_since(times[0]).unsigned_abs() < PATIENCE);
    }
    let listed = server.get("/v1/jobs?limit=200").await.unwrap().1;
    assert_eq!(listed["data"].as_array().unwrap().len(), 32);
}

async fn cancel(server: &Server, id: &str) -> Value {
    let (status, job) = server.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).await.unwrap();
    assert_eq!(status, 200);
    job
}

#[tokio::test]
async fn a_full_queue_says_so_until_there_is_room() {
    let dir = TempDir::new().unwrap();
    let settings = [BIG, ("DARKROOM__QUEUE__MAX_DEPTH", "3"), ("DARKROOM__ENGINE__MAX_ROWS", "1")];
    let server = Server::start(dir.path(), &settings).await;
    let mut ids: Vec<String> = Vec::new();
    // The engine holds at most a few of these; the queue three more.
    let refused = loop {
        let request = server.client.post(format!("{}/v1/generations", server.url)).json(&long(ids.len() as u64));
        let answer = request.send().await.unwrap();
        if answer.status() != 202 {
            break answer;
        }
        ids.push(answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned());
        assert!(ids.len() < 20);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(refused.status(), 429);
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "queue_full");
    let (first, last) = (ids.first().unwrap().clone(), ids.last().unwrap().clone());
    assert_eq!(server.job(&last).await["queue_position"], 2);
    // Canceling one that waits makes room, and concerns no other.
    let canceled = cancel(&server, &last).await;
    assert_eq!((&canceled["status"], &canceled["progress"]["evaluations"]), (&json!("canceled"), &json!(0)));
    assert_eq!(cancel(&server, &last).await, canceled);
    assert_eq!(server.job(&first).await["status"], "running");
    let (status, job) = server.post("/v1/generations", &long(99)).await.unwrap();
    assert_eq!(status, 202);
    ids.push(job["id"].as_str().unwrap().to_owned());
    for id in &ids {
        assert_eq!(cancel(&server, id).await["status"], "canceled");
    }
    let (status, job) = server.generate(&wish(1, 1, 1)).await.unwrap();
    assert_eq!((status, &job["status"]), (200, &json!("succeeded")), "the engine is free again");
}

/// Sends bytes and reads until the server closes; what it said.
async fn dawdle(server: &Server, bytes: &str) -> String {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut said)).await;
    read.expect("the server closes on a client that never ends its request").unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn slow_clients_are_let_go_and_hold_up_nobody() {
    let dir = TempDir::new().unwrap();
    let server = Server::start(dir.path(), &[("DARKROOM__HTTP__REQUEST_TIMEOUT_S", "1")]).await;
    let half_head = "POST /v1/generations HTTP/1.1\r\nHost: x\r\ncontent-ty";
    let half_body = "POST /v1/generations HTTP/1.1\r\nHost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{\"seed\"";
    let dawdlers =
        futures_util::future::join_all((0..20).flat_map(|_| [half_head, half_body]).map(|half| dawdle(&server, half)));
    let quick = async {
        for seed in 0..10 {
            assert_eq!(server.generate(&wish(seed, 1, 2)).await.unwrap().0, 200);
        }
    };
    let (said, ()) = tokio::join!(dawdlers, quick);
    let bodies: Vec<_> = said.iter().filter(|said| !said.is_empty()).collect();
    assert!(bodies.len() >= 20 && bodies.iter().all(|said| said.starts_with("HTTP/1.1 408")), "{said:?}");
}

#[tokio::test]
async fn a_listener_that_never_reads_stops_neither_its_job_nor_others() {
    let dir = TempDir::new().unwrap();
    let server = Server::start(dir.path(), &[]).await;
    let mut wanted = wish(1, 16, 500);
    wanted["preview_every"] = json!(1);
    let (_, job) = server.post("/v1/generations", &wanted).await.unwrap();
    let id = job["id"].as_str().unwrap();
    let mut deaf = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
        stream.write_all(format!("GET /v1/jobs/{id}/events HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        deaf.push(stream);
    }
    assert_eq!(server.generate(&wish(2, 1, 2)).await.unwrap().0, 200);
    assert_eq!(server.ended(id).await["status"], "succeeded");
    // Who reads late is told the end all the same.
    let mut late = Vec::new();
    for mut stream in deaf {
        let mut said = vec![0; 1 << 16];
        let mut all = String::new();
        while !all.contains("event: succeeded") {
            let read = tokio::time::timeout(PATIENCE, stream.read(&mut said)).await.unwrap().unwrap();
            assert!(read > 0, "the stream ended without its final event");
            all.push_str(&String::from_utf8_lossy(&said[..read]));
        }
        late.push(all.matches("event: succeeded").count());
    }
    assert_eq!(late, [1; 8]);
}
