//! The program as a supervisor, a shell and a second copy of itself see it.

use std::fs;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::server::Home;

/// A job that takes a while: many dimensions, many steps.
fn long() -> Value {
    json!({"label": 1, "seed": 5, "steps": 1000, "count": 16, "sampler": "ddpm"})
}

fn slow_home() -> Home {
    Home::new().with("models__gaussian__shape", "[4, 64, 64]")
}

#[tokio::test]
async fn a_second_process_on_the_same_database_is_refused_and_disturbs_nobody() {
    let home = Home::new();
    let mut first = home.start();
    let second = home.command(&["serve"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("in use by another darkroom process"), "{said}");
    assert!(first.alive());
    first.make(json!({"label": 0, "steps": 2})).await;
}

#[tokio::test]
async fn sigterm_lets_running_jobs_finish() {
    let home = Home::new();
    let mut server = home.start();
    let id = server.submit(json!({"label": 1, "steps": 1000, "count": 4})).await;
    while server.json(&format!("/v1/jobs/{id}")).await["status"] == "queued" {}
    server.terminate();
    assert_eq!(server.exited().await.code(), Some(0), "{}", server.log());
    let job = home.start().ended(&id).await;
    assert_eq!((&job["status"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{job}");
}

#[tokio::test]
async fn a_drain_that_takes_too_long_gives_jobs_back() {
    let home = slow_home().with("drain__timeout_s", "1");
    let mut server = home.start();
    let id = server.submit(long()).await;
    while server.json(&format!("/v1/jobs/{id}")).await["progress"]["evaluations"] == 0 {}
    server.terminate();
    loop {
        let ready = server.get("/readyz").send().await.unwrap();
        if ready.status() == 503 {
            break;
        }
    }
    let refused = server.post("/v1/generations", &json!({"steps": 2})).send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "draining");
    assert_eq!(server.exited().await.code(), Some(0), "{}", server.log());

    let server = home.start();
    while server.json(&format!("/v1/jobs/{id}")).await["status"] != "running" {}
    let job = server.json(&format!("/v1/jobs/{id}")).await;
    assert_eq!(job["attempt"], 1, "a drained attempt does not count: {job}");
}

/// C40
#[tokio::test]
async fn times_are_utc_wherever_the_server_stands() {
    let home = Home::new();
    let server = home.start_with(&[("TZ", "Asia/Tokyo")]);
    let job = server.make(json!({"label": 1, "steps": 2})).await;
    let mut before = Timestamp::now() - SignedDuration::from_secs(60);
    for field in ["created_at", "started_at", "finished_at"] {
        let text = job[field].as_str().unwrap();
        assert!(text.ends_with('Z'), "{field}: {text}");
        let time: Timestamp = text.parse().unwrap();
        assert!(before <= time && time <= Timestamp::now(), "{field}: {text}");
        before = time;
    }
}

#[tokio::test]
async fn concurrent_clients_get_what_each_would_get_alone() {
    let samplers = ["ddim", "ddpm", "euler", "euler_a", "heun", "dpmpp_2m"];
    let wish = |k: usize| json!({"label": k % 4, "seed": k, "steps": 5 + k, "sampler": samplers[k % samplers.len()]});
    let home = Home::new();
    let server = home.start();
    let together = futures_util::future::join_all((0..32).map(|k| server.make(wish(k)))).await;
    for (k, job) in together.iter().enumerate() {
        let alone = server.make(wish(k)).await;
        assert!(server.pictures(job).await == server.pictures(&alone).await, "{}", wish(k));
    }
}

/// C58: jobs, refusals and cancels leave nothing behind in memory, whatever came along with them.
#[tokio::test]
async fn memory_does_not_grow_with_the_history() {
    let home = Home::new().with("models__gaussian__shape", "[1, 16, 16]").with("engine__threads", "1");
    let server = home.start();
    let wish = |seed: u64| json!({"label": seed % 4, "seed": seed, "steps": 1, "metadata": {"k": "v".repeat(400)}});
    let rounds = async |rounds: std::ops::Range<u64>| {
        for round in rounds {
            let jobs = (0..25).map(|k| server.make(wish(25 * round + k)));
            futures_util::future::join_all(jobs).await;
            let refused =
                server.post("/v1/generations", &json!({"latents": "A".repeat(2_000_000)})).send().await.unwrap();
            assert_eq!(refused.status(), 422);
            let id = server.submit(json!({"steps": 1000, "count": 16})).await;
            let canceled = server.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).send().await.unwrap();
            assert_eq!(canceled.json::<Value>().await.unwrap()["status"], "canceled");
        }
    };
    rounds(0..20).await;
    let early = server.resident();
    rounds(20..60).await;
    let late = server.resident();
    assert!(late < early + early / 10, "{early} bytes after 500 jobs, {late} after 1500");
    let list = server.json("/v1/jobs?limit=200&status=succeeded").await;
    assert_eq!(list["data"].as_array().unwrap().len(), 200);
}

/// Every line about a job stands in the request that asked for it.
#[tokio::test]
async fn logs_lead_from_the_request_to_the_forward() {
    let home = Home::new().with("log__format", "json").with("log__level", "darkroom=trace");
    let server = home.start();
    let wish = json!({"label": 0, "steps": 3});
    let answer = server.post("/v1/generations", &wish).header("x-request-id", "my-own-id").send().await.unwrap();
    let id = answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    server.ended(&id).await;
    let log = server.log();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for message in ["accepted", "started", "ended"] {
        let line = lines.iter().find(|line| line["message"] == message).unwrap_or_else(|| panic!("{message}: {log}"));
        assert_eq!(line["spans"][0]["id"], "my-own-id", "{line}");
    }
    let forwards = lines.iter().filter(|line| line["message"] == "forward" && line["stage"] == "predict");
    let own: Vec<_> = forwards.filter(|line| line["jobs"].as_str().unwrap_or_default().contains(&id)).collect();
    assert_eq!(own.len(), 3, "{log}");
}

#[test]
fn the_committed_description_of_the_api_is_fresh() {
    let written = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml")).unwrap();
    let described = Home::new().command(&["openapi"]).output().unwrap();
    assert!(described.status.success(), "{}", String::from_utf8_lossy(&described.stderr));
    assert!(described.stdout == written.as_bytes(), "openapi.yaml is stale: run `make openapi`");
}

#[test]
fn the_committed_list_of_methods_is_fresh() {
    let written = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/methods.md")).unwrap();
    let listed = Home::new().command(&["methods"]).output().unwrap();
    assert!(listed.stdout == written.as_bytes(), "docs/methods.md is stale: run `make methods`");
}
