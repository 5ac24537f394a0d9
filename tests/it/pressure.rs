//! The real program under pressure: more jobs than it takes, clients that dawdle or never read, a job that kills it.

use std::time::Duration;

use darkroom::{
    job::Generation,
    store::{Allowance, Store, sqlite::SqliteStore},
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    jobs::new_job,
    server::{Home, Server},
};

/// Longest time that a connection may take here.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder whose servers have only the exact model, and so are ready at once.
fn home() -> Home {
    let home = Home::new();
    let none = home.path().join("models");
    std::fs::create_dir(&none).unwrap();
    home.with("models__dir", &none.display().to_string())
}

fn quick(seed: u64) -> Value {
    json!({"seed": seed, "steps": 2, "sampler": "ddim"})
}

async fn cancel(server: &Server, id: &str) -> Value {
    let answer = server.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

async fn connect(server: &Server, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn a_full_queue_says_so_until_there_is_room() {
    let home = home().with("models__gaussian__shape", "[4, 64, 64]").with("queue__max_depth", "3");
    let home = home.with("engine__max_rows", "1");
    let server = home.start();
    let long = |seed| json!({"seed": seed, "steps": 1000, "count": 16, "sampler": "ddpm"});
    while server.get("/readyz").send().await.unwrap().status() != 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut ids: Vec<String> = Vec::new();
    // The engine holds a few of these; the queue three more.
    let refused = loop {
        let answer = server.post("/v1/generations", &long(ids.len())).send().await.unwrap();
        if answer.status() != 202 {
            break answer;
        }
        ids.push(answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned());
        assert!(ids.len() < 20, "nothing is refused");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(refused.status(), 429);
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "queue_full");
    let (first, last) = (ids[0].clone(), ids[ids.len() - 1].clone());
    assert_eq!(server.json(&format!("/v1/jobs/{last}")).await["queue_position"], 2);
    // Canceling one that waits makes room for one, and concerns no other.
    let canceled = cancel(&server, &last).await;
    assert_eq!((&canceled["status"], &canceled["progress"]["evaluations"]), (&json!("canceled"), &json!(0)));
    assert_eq!(cancel(&server, &last).await, canceled);
    assert_eq!(server.json(&format!("/v1/jobs/{first}")).await["status"], "running");
    ids.push(server.submit(long(99)).await);
    for id in &ids {
        assert_eq!(cancel(&server, id).await["status"], "canceled");
    }
    server.make(quick(1)).await;
}

#[tokio::test]
async fn clients_that_never_end_their_requests_hold_up_nobody() {
    let home = home().with("http__request_timeout_s", "1");
    let server = home.start();
    let half_head = "POST /v1/generations HTTP/1.1\r\nHost: x\r\ncontent-ty";
    let half_body = "POST /v1/generations HTTP/1.1\r\nHost: x\r\ncontent-type: application/json\r\n\
                     content-length: 50\r\n\r\n{\"seed\"";
    let dawdle = async |half: &str| {
        let (mut stream, mut said) = (connect(&server, half).await, Vec::new());
        timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("it is let go").unwrap();
        String::from_utf8_lossy(&said).into_owned()
    };
    let dawdlers = join_all((0..20).flat_map(|_| [half_head, half_body]).map(dawdle));
    let others = async {
        for seed in 0..10 {
            server.make(quick(seed)).await;
        }
    };
    let (said, ()) = tokio::join!(dawdlers, others);
    let told = said.iter().skip(1).step_by(2).filter(|said| said.starts_with("HTTP/1.1 408"));
    assert_eq!(told.count(), 20, "{said:?}");
}

#[tokio::test]
async fn listeners_that_never_read_stop_neither_their_job_nor_others() {
    let home = home();
    let server = home.start();
    let id = server.submit(json!({"seed": 1, "steps": 300, "count": 16, "sampler": "ddim", "preview_every": 1})).await;
    let request = format!("GET /v1/jobs/{id}/events HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut deaf = Vec::new();
    for _ in 0..8 {
        deaf.push(connect(&server, &request).await);
    }
    server.make(quick(2)).await;
    assert_eq!(server.ended(&id).await["status"], "succeeded");
    // Who reads late is told the end all the same, once.
    for mut stream in deaf {
        let (mut said, mut chunk) = (String::new(), vec![0; 1 << 16]);
        while !said.ends_with("0\r\n\r\n") {
            let read = timeout(PATIENCE, stream.read(&mut chunk)).await.expect("the stream ends").unwrap();
            assert!(read > 0, "the stream broke off");
            said.push_str(&String::from_utf8_lossy(&chunk[..read]));
        }
        assert_eq!(said.matches("event: succeeded").count(), 1);
    }
}

#[tokio::test]
async fn forty_jobs_that_wait_with_a_deadly_one_all_succeed_and_it_kills_five_times() {
    let home = home();
    let mut server = home.start();
    let job = server.make(quick(1)).await;
    server.terminate();
    assert!(server.exited().await.success());
    let ids = fill(&home, &serde_json::from_value(job["request"].clone()).unwrap()).await;
    for _ in 0..5 {
        let mut server = home.start_with(&[("DARKROOM_FAILPOINTS", "crash_prompt=abort:die")]);
        assert!(!server.exited().await.success(), "two deaths in company, three alone");
    }
    let server = home.start_with(&[("DARKROOM_FAILPOINTS", "crash_prompt=abort:die")]);
    let bad = server.ended(&ids[40]).await;
    assert_eq!((&bad["status"], &bad["error"]["code"]), (&json!("failed"), &json!("attempts_exhausted")));
    for id in &ids[..40] {
        assert_eq!(server.ended(id).await["status"], "succeeded");
    }
}

/// Puts forty good jobs and a deadly one into the queue while no server runs.
async fn fill(home: &Home, request: &Generation) -> Vec<String> {
    let store = SqliteStore::open(&format!("sqlite://{}/darkroom.db", home.path().display())).await.unwrap();
    let mut ids = Vec::new();
    for seed in 0..41 {
        let prompt = if seed < 40 { String::new() } else { "die".to_owned() };
        let new = new_job(Generation { prompt, seed, ..request.clone() });
        ids.push(store.insert(&new, Allowance::of(1000)).await.unwrap().id.to_string());
    }
    ids
}
