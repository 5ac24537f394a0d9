//! `kill -9` in the middle of anything loses no accepted job, forgets no cancel, and leaves no half picture.

use std::{collections::BTreeMap, path::Path, time::Duration};

use darkroom::{
    job::Generation,
    store::{Store, blobs::sha256, sqlite::SqliteStore},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::wish;
use crate::support::{jobs::new_job, server::Server};

const STRICT: (&str, &str) = ("DARKROOM__ENGINE__STRICT", "true");

/// Pictures of a job that ended well, each whole by its own hash.
async fn pictures(server: &Server, job: &Value) -> Vec<Vec<u8>> {
    assert_eq!(job["status"], "succeeded", "{job}\n{}", server.log());
    let mut pictures = Vec::new();
    for image in job["images"].as_array().unwrap() {
        assert_eq!(image["state"], "ready");
        let bytes = server.bytes(image["url"].as_str().unwrap()).await;
        assert_eq!(
            (image["sha256"].as_str().unwrap(), image["size_bytes"].as_u64().unwrap()),
            (&*sha256(&bytes), bytes.len() as u64)
        );
        pictures.push(bytes);
    }
    pictures
}

#[tokio::test]
async fn a_death_at_any_named_place_changes_no_picture() {
    let wishes: Vec<_> = (0..3).map(|number| wish(100 + number, 2, 5)).collect();
    let dir = TempDir::new().unwrap();
    let undisturbed = Server::start(dir.path(), &[STRICT]).await;
    let mut expected = BTreeMap::new();
    for wish in &wishes {
        let (_, job) = undisturbed.generate(wish).await.unwrap();
        expected.insert(wish["seed"].as_u64().unwrap(), pictures(&undisturbed, &job).await);
    }
    for place in
        ["after_claim=abort", "after_blob=abort", "after_blob=abort@4", "before_commit=abort", "before_commit=abort@3"]
    {
        let dir = TempDir::new().unwrap();
        let mut server = Server::start(dir.path(), &[STRICT, ("DARKROOM_FAILPOINTS", place)]).await;
        let mut accepted = Vec::new();
        for wish in &wishes {
            if let Some((202, job)) = server.post("/v1/generations", wish).await {
                accepted.push(job["id"].as_str().unwrap().to_owned());
            }
        }
        assert!(!accepted.is_empty());
        assert!(!server.exit().await.success() && server.log().contains("failpoint"), "{place}");
        let server = Server::start(dir.path(), &[STRICT]).await;
        for id in accepted {
            let job = server.ended(&id).await;
            let seed = job["request"]["seed"].as_u64().unwrap();
            assert!(job["attempt"].as_u64().unwrap() <= 2, "{job}");
            assert!(pictures(&server, &job).await == expected[&seed], "{place}: seed {seed} became another picture");
        }
    }
}

/// Posts and cancels until the server dies; what was answered is kept.
async fn disturb(server: &Server, round: u64, accepted: &mut Vec<String>, canceled: &mut Vec<String>) {
    for number in 0.. {
        let Some((status, job)) = server.post("/v1/generations", &wish(round * 1000 + number, 2, 30)).await else {
            return;
        };
        assert_eq!(status, 202, "{job}");
        let id = job["id"].as_str().unwrap().to_owned();
        if number % 4 == 1 {
            match server.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).await {
                Some((200, job)) if job["status"] == "canceled" => canceled.push(id),
                Some((200, _)) => accepted.push(id),
                _ => return,
            }
        } else {
            accepted.push(id);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn deaths_at_random_lose_nothing_and_revive_nothing() {
    let dir = TempDir::new().unwrap();
    let (mut accepted, mut canceled) = (Vec::new(), Vec::new());
    for (round, life) in [170, 390, 260].into_iter().enumerate() {
        let mut server = Server::start(dir.path(), &[]).await;
        let pid = server.id();
        let death = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(life)).await;
            assert!(std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
        });
        disturb(&server, round as u64, &mut accepted, &mut canceled).await;
        death.await.unwrap();
        server.exit().await;
    }
    let server = Server::start(dir.path(), &[]).await;
    assert!(accepted.len() > 10 && !canceled.is_empty());
    for id in &accepted {
        let job = server.ended(id).await;
        assert_eq!(pictures(&server, &job).await.len(), 2);
    }
    for id in &canceled {
        let job = server.job(id).await;
        assert_eq!(job["status"], "canceled", "a canceled job never runs again");
    }
    assert!(whole(&dir.path().join("data/blobs")), "no half-written blob is left");
}

/// Whether no write that was cut off has left anything behind.
fn whole(blobs: &Path) -> bool {
    std::fs::read_dir(blobs).unwrap().all(|entry| !entry.unwrap().file_name().to_string_lossy().contains('#'))
}

#[tokio::test]
async fn a_job_that_kills_the_process_every_time_ends_and_forty_good_ones_succeed() {
    let dir = TempDir::new().unwrap();
    let mut server = Server::start(dir.path(), &[]).await;
    let (_, job) = server.generate(&wish(1, 1, 3)).await.unwrap();
    let request: Generation = serde_json::from_value(job["request"].clone()).unwrap();
    server.terminate();
    assert!(server.exit().await.success());
    let ids = fill(dir.path(), &request).await;
    let mut deaths = 0;
    let poisoned = [("DARKROOM_FAILPOINTS", "crash_prompt=abort:poison")];
    let server = loop {
        let mut server = Server::launch(dir.path(), &poisoned).await;
        if live(&mut server, &ids).await {
            break server;
        }
        deaths += 1;
        assert!(deaths <= 5, "{}", server.log());
    };
    assert_eq!(deaths, 5, "two in company, three alone");
    for id in &ids[..40] {
        pictures(&server, &server.job(id).await).await;
    }
    let poison = server.job(&ids[40]).await;
    assert_eq!((&poison["status"], &poison["error"]["code"]), (&json!("failed"), &json!("attempts_exhausted")));
}

/// Forty good jobs and a bad one, waiting before any server runs.
async fn fill(dir: &Path, request: &Generation) -> Vec<String> {
    let store = SqliteStore::open(&format!("sqlite://{}/data/darkroom.db", dir.display())).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..41 {
        let prompt = if number < 40 { String::new() } else { "poison".to_owned() };
        let new = new_job(Generation { prompt, seed: number, ..request.clone() });
        ids.push(store.insert(&new, 1000).await.unwrap().id.to_string());
    }
    ids
}

/// Whether the server lived until all jobs had ended.
async fn live(server: &mut Server, ids: &[String]) -> bool {
    loop {
        let mut open = 0;
        for id in ids {
            match server.get(&format!("/v1/jobs/{id}")).await {
                Some((200, job)) => open += u32::from(job["finished_at"].is_null()),
                _ => {
                    server.exit().await;
                    return false;
                }
            }
        }
        if open == 0 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
