//! Memory does not grow with what the service has done (C58).

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::support::{
    pictures::{noise, png, url},
    server::{Home, Server},
};

/// Edits in a round; one that is refused and one that is canceled half way come on top.
const EDITS: usize = 4;

/// Share by which resident memory may grow.
const GROWTH: f64 = 1.1;

#[tokio::test]
async fn memory_is_as_it_was_after_many_edits() {
    flat(370, 24, 60).await;
}

/// Some minutes: `cargo test --release --test it -- --ignored thousands --nocapture`
#[tokio::test]
#[ignore = "minutes"]
async fn memory_is_as_it_was_after_thousands_of_edits_of_large_pictures() {
    flat(820, 125, 500).await;
}

/// The least resident memory of the last `few` of `many` rounds is that of the first; `side` is that of the pictures, which are noise.
async fn flat(side: u32, few: usize, many: usize) {
    let home = Home::new();
    let none = home.path().join("models");
    std::fs::create_dir(&none).unwrap();
    let home = home.with("models__dir", &none.display().to_string());
    let server = home.start();
    let pictures: Vec<String> = (0..8).map(|cut| BASE64_STANDARD.encode(png(&noise(side, side - cut)))).collect();
    let mut ids = Vec::new();
    // The memory of a round depends on what the allocator holds back just then: a leak lifts the lowest above the highest.
    let (mut before, mut after) = (0, u64::MAX);
    for index in 0..many {
        ids.extend(round(&server, index, &pictures).await);
        if (index + 1) % few == 0 {
            println!("{} jobs, {} MB", ids.len(), server.resident() >> 20);
        }
        match server.resident() {
            bytes if index < few => before = before.max(bytes),
            bytes if index + few >= many => after = after.min(bytes),
            _ => {}
        }
    }
    assert!(after as f64 <= GROWTH * before as f64, "{before} bytes became {after}");
    assert_eq!(listed(&server).await, ids);
    assert_eq!(server.json(&format!("/v1/jobs/{}", ids[0])).await["status"], "succeeded");
}

/// The ids of a round's jobs, in order.
async fn round(server: &Server, index: usize, pictures: &[String]) -> Vec<String> {
    let image = &pictures[index % pictures.len()];
    let mut ids = Vec::new();
    for seed in 0..EDITS {
        let id = accepted(server, &json!({"image": image, "seed": seed, "steps": 4, "sampler": "ddim"})).await;
        assert_eq!(server.ended(&id).await["status"], "succeeded");
        ids.push(id);
    }
    let refused = server.post("/v1/edits", &json!({"image": image, "mask": url(b"no picture")}));
    assert_eq!(refused.send().await.unwrap().status(), 422);
    let long = json!({"image": image, "steps": 1000, "count": 16, "sampler": "ddpm", "preview_every": 1});
    let id = accepted(server, &long).await;
    while server.json(&format!("/v1/jobs/{id}")).await["progress"]["evaluations"] == 0 {}
    let canceled = server.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).send().await.unwrap();
    assert_eq!(canceled.json::<Value>().await.unwrap()["status"], "canceled");
    ids.push(id);
    ids
}

/// The id of an edit, which must be accepted.
async fn accepted(server: &Server, edit: &Value) -> String {
    let answer = server.post("/v1/edits", edit).send().await.unwrap();
    let (status, job) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap());
    assert_eq!(status, 202, "{job}");
    job["id"].as_str().unwrap().to_owned()
}

/// The ids of all jobs, oldest first.
async fn listed(server: &Server) -> Vec<String> {
    let (mut ids, mut path) = (Vec::new(), "/v1/jobs?limit=200".to_owned());
    loop {
        let page = server.json(&path).await;
        ids.extend(page["data"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/jobs?limit=200&cursor={cursor}");
    }
    ids.reverse();
    ids
}
