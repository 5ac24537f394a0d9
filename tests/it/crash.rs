//! The process dies at any moment: nothing accepted is lost, no cancel is forgotten, no half-written picture is served.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::server::{Home, Server};

/// The pictures of a job that nothing disturbed.
async fn undisturbed(body: &Value) -> Vec<Vec<u8>> {
    let home = Home::new();
    let server = home.start();
    let job = server.make(body.clone()).await;
    server.pictures(&job).await
}

/// The one job of a server.
async fn only_job(server: &Server) -> Value {
    let list = server.json("/v1/jobs").await;
    let jobs = list["data"].as_array().unwrap();
    assert_eq!(jobs.len(), 1, "{list}");
    server.ended(jobs[0]["id"].as_str().unwrap()).await
}

#[tokio::test]
async fn a_death_at_any_point_of_a_job_changes_nothing() {
    let body = json!({"label": 1, "count": 3, "seed": 7, "steps": 6, "sampler": "ddpm"});
    let pictures = undisturbed(&body).await;
    for point in [
        "after_claim",
        "after_blob",
        "after_blob=abort@3",
        "before_commit",
        "before_commit=abort@2",
        "before_commit=abort@4",
    ] {
        let home = Home::new();
        let armed = if point.contains('=') { point.to_owned() } else { format!("{point}=abort") };
        let mut server = home.start_with(&[("DARKROOM_FAILPOINTS", &armed)]);
        // It may die before it answers: what it stored counts.
        let _ = server.post("/v1/generations", &body).send().await;
        assert!(!server.exited().await.success(), "{point}");
        assert!(server.log().contains("failpoint"), "{point}: {}", server.log());

        let server = home.start();
        let job = only_job(&server).await;
        assert_eq!((&job["status"], &job["attempt"]), (&json!("succeeded"), &json!(2)), "{point}: {job}");
        assert!(server.pictures(&job).await == pictures, "{point}: other pictures");
        assert_eq!(job["progress"], json!({"evaluations": 18, "of": 18}), "{point}");
    }
}

#[tokio::test]
async fn a_death_in_the_middle_of_sampling_changes_nothing() {
    let body = json!({"label": 2, "seed": 3, "steps": 1000, "count": 16, "sampler": "euler_a"});
    let pictures = undisturbed(&body).await;
    let home = Home::new();
    let mut server = home.start();
    let id = server.submit(body).await;
    while server.json(&format!("/v1/jobs/{id}")).await["progress"]["evaluations"] == 0 {}
    server.kill();
    let server = home.start();
    let job = server.ended(&id).await;
    assert_eq!((&job["status"], &job["attempt"]), (&json!("succeeded"), &json!(2)), "{job}");
    assert!(server.pictures(&job).await == pictures);
}

/// Kills at moments that no failpoint names. No job dies often enough to be blamed.
#[tokio::test]
async fn random_deaths_lose_no_job_and_forget_no_cancel() {
    let wish = |seed: u64| json!({"label": seed % 4, "seed": seed, "steps": 40, "count": 2, "sampler": "ddpm"});
    let home = Home::new();
    let (mut accepted, mut canceled) = (Vec::new(), Vec::new());
    for (round, pause_ms) in [3, 17, 41, 90].into_iter().enumerate() {
        let mut server = home.start();
        for seed in (0..8).map(|k| 100 * round as u64 + k) {
            accepted.push((server.submit(wish(seed)).await, seed));
        }
        let (id, _) = accepted.pop().unwrap();
        let answer = server.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).send().await.unwrap();
        let job: Value = answer.json().await.unwrap();
        canceled.push((id, job["status"].clone()));
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        server.kill();
    }
    let server = home.start();
    for (id, status) in canceled {
        assert_eq!(server.ended(&id).await["status"], status);
    }
    let calm = Home::new();
    let other = calm.start();
    for (id, seed) in accepted {
        let job = server.ended(&id).await;
        assert_eq!(job["status"], "succeeded", "{job}");
        let twin = other.make(wish(seed)).await;
        assert!(server.pictures(&job).await == other.pictures(&twin).await, "seed {seed}");
    }
}

#[tokio::test]
async fn a_job_that_always_kills_the_process_fails_and_takes_no_other_along() {
    let home = Home::new();
    let crash = [("DARKROOM_FAILPOINTS", "crash_prompt=abort:die")];
    let mut server = home.start_with(&crash);
    let bad = submit_to_the_dying(&home, &mut server, &crash, json!({"prompt": "die", "steps": 4})).await;
    let mut good = Vec::new();
    for seed in 0..40 {
        let body = json!({"label": seed % 4, "seed": seed, "steps": 4});
        good.push(submit_to_the_dying(&home, &mut server, &crash, body).await);
    }
    let mut deaths = 0;
    for id in good.iter().chain([&bad]) {
        loop {
            let answer = server.get(&format!("/v1/jobs/{id}")).send().await;
            let Ok(answer) = answer else {
                server.exited().await;
                deaths += 1;
                assert!(deaths <= 12, "it still dies: {}", server.log());
                server = home.start_with(&crash);
                continue;
            };
            let job: Value = answer.json().await.unwrap();
            match job["status"].as_str().unwrap() {
                "succeeded" => break assert_ne!(*id, bad),
                "failed" => break assert_eq!((id, &job["error"]["code"]), (&bad, &json!("attempts_exhausted"))),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
    assert!(server.alive());
}

/// Submits until it is accepted, starting the server again whenever it has died.
async fn submit_to_the_dying(home: &Home, server: &mut Server, crash: &[(&str, &str)], body: Value) -> String {
    loop {
        match server.post("/v1/generations", &body).send().await {
            Ok(answer) => return answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned(),
            Err(_) => {
                server.exited().await;
                *server = home.start_with(crash);
            }
        }
    }
}
