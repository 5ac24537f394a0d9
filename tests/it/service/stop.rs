//! SIGTERM, and a second process on the same data.

use std::{process::Stdio, time::Duration};

use serde_json::json;
use tempfile::TempDir;

use super::{BIG, long, wish};
use crate::support::server::{Server, command};

#[tokio::test]
async fn a_drain_lets_running_jobs_finish_and_takes_no_new_ones() {
    let dir = TempDir::new().unwrap();
    let mut server = Server::start(dir.path(), &[BIG]).await;
    let (_, job) = server.post("/v1/generations", &wish(1, 4, 300)).await.unwrap();
    let id = job["id"].as_str().unwrap();
    server.until("running", async || server.job(id).await["status"] == "running").await;
    server.terminate();
    server.until("not ready", async || server.get("/readyz").await.is_none_or(|(status, _)| status == 503)).await;
    if let Some((status, problem)) = server.post("/v1/generations", &wish(2, 1, 1)).await {
        assert_eq!((status, problem["code"].as_str()), (503, Some("draining")));
    }
    assert!(server.exit().await.success(), "{}", server.log());
    let server = Server::start(dir.path(), &[BIG]).await;
    let job = server.job(id).await;
    assert_eq!((&job["status"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{}", server.log());
}

#[tokio::test]
async fn what_does_not_finish_in_time_goes_back_and_the_attempt_does_not_count() {
    let dir = TempDir::new().unwrap();
    let settings = [BIG, ("DARKROOM__DRAIN__TIMEOUT_S", "0")];
    let mut server = Server::start(dir.path(), &settings).await;
    let mut ids = Vec::new();
    for seed in 0..3 {
        let (_, job) = server.post("/v1/generations", &long(seed)).await.unwrap();
        ids.push(job["id"].as_str().unwrap().to_owned());
    }
    server.until("running", async || server.job(&ids[0]).await["status"] == "running").await;
    server.terminate();
    assert!(server.exit().await.success(), "{}", server.log());
    // An engine that never gets ready claims nothing, so that the rows can be looked at as they were left.
    let store =
        darkroom::store::sqlite::SqliteStore::open(&format!("sqlite://{}/data/darkroom.db", dir.path().display()));
    let store: Box<dyn darkroom::store::Store> = Box::new(store.await.unwrap());
    for id in &ids {
        let darkroom::store::Found::Here(job) = store.job(id.parse().unwrap()).await.unwrap() else { panic!() };
        assert_eq!((job.status.name(), job.attempt), ("queued", 0));
    }
    drop(store);
    let server = Server::start(dir.path(), &settings).await;
    server.until("running", async || server.job(&ids[0]).await["status"] == "running").await;
    assert_eq!(server.job(&ids[0]).await["attempt"], 1);
    for id in &ids {
        server.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).await.unwrap();
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_database_is_refused() {
    let dir = TempDir::new().unwrap();
    let mut first = Server::start(dir.path(), &[]).await;
    let second = || {
        let mut second = command(dir.path(), &[]);
        tokio::task::spawn_blocking(move || second.stdout(Stdio::null()).output().unwrap())
    };
    let refused = tokio::time::timeout(Duration::from_secs(20), second()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("darkroom.db") && said.contains("another darkroom process"), "{said}");
    assert_eq!(first.generate(&wish(1, 1, 2)).await.unwrap().0, 200, "the first one is not disturbed");
    first.kill();
    let next = Server::start(dir.path(), &[]).await;
    assert_eq!(next.generate(&wish(1, 1, 2)).await.unwrap().0, 200, "the lock died with its holder");
}
