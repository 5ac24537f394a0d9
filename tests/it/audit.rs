//! Who did what: the audit log and the end of what is kept.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::support::{app::TestApp, server::Home};

#[tokio::test]
async fn deeds_are_noted_and_prompts_are_not() {
    let home = Home::new();
    let log = home.path().join("audit.jsonl");
    let home = home.with("log__audit_file", log.to_str().unwrap()).with("auth__required", "true");
    let made = home.command(&["keys", "add", "frontend", "--scopes", "generate,read"]).output().unwrap();
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    assert!(key.starts_with("dk_"), "{key}");
    let server = home.start();
    let body = json!({"steps": 1, "metadata": {"order": "a secret wish"}, "prompt": "a secret wish"});
    let answer = server.post("/v1/generations", &body).bearer_auth(&key).send().await.unwrap();
    let id = answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    server.get("/v1/jobs?metadata.order=a+secret+wish").bearer_auth(&key).send().await.unwrap();
    server.post("/v1/edits", &body).bearer_auth(&key).send().await.unwrap();
    server.post("/v1/generations", &body).send().await.unwrap();
    server.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).bearer_auth(&key).send().await.unwrap();

    let text = fs::read_to_string(&log).unwrap();
    assert!(!text.contains("secret wish") && !text.contains(&key), "{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> =
        lines.iter().map(|line| (line["path"].as_str().unwrap(), line["status"].as_u64().unwrap())).collect();
    let cancel = format!("/v1/jobs/{id}/cancel");
    let wanted = [("/v1/generations", 202), ("/v1/edits", 403), ("/v1/generations", 401), (cancel.as_str(), 200)];
    assert_eq!(told, wanted);
    assert!(lines[0]["owner"].as_str().unwrap().starts_with("key:"));
    assert_eq!(lines[0]["made"], format!("/v1/jobs/{id}"));
    assert!(lines.iter().all(|line| line["request"].is_string() && line["timestamp"].is_string()));
    assert!(!server.log().contains("secret wish") && !server.log().contains(&key), "nor anywhere else");
}

#[tokio::test]
async fn ended_jobs_go_after_their_time() {
    let app = TestApp::with(|config| config.store.keep_s = 1).await;
    let job = app.generate(&json!({"steps": 1})).await;
    let (path, image) =
        (format!("/v1/jobs/{}", job["id"].as_str().unwrap()), job["images"][0]["url"].as_str().unwrap());
    assert_eq!(app.get(&path).await.status, 200);
    let long = json!({"steps": 1000, "sampler": "ddpm", "count": 16, "guidance": 3, "label": 1});
    let mut waiting = Vec::new();
    for _ in 0..30 {
        waiting.push(app.submit(&long).await["id"].as_str().unwrap().to_owned());
    }
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if app.get(&path).await.status == 410 {
            break;
        }
    }
    assert_eq!((app.get(&path).await.status, app.get(image).await.status), (410, 410));
    assert_eq!(app.get(&format!("/v1/jobs/{}", waiting[29])).await.status, 200, "one that has not ended stays");
}
