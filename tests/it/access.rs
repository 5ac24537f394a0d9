//! Keys: who gets in, what they may, and that nothing of others can be seen.

use std::sync::Arc;

use darkroom::{
    access::{Key, Quota, Scope, Secret},
    config::{Config, Switch},
};
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::app::{Answer, TestApp, send};

/// A service that needs keys.
pub async fn guarded() -> TestApp {
    guarded_with(|_| {}).await
}

/// The same with some other settings.
pub async fn guarded_with(change: impl FnOnce(&mut Config)) -> TestApp {
    TestApp::with(|config| {
        config.auth.required = Switch::On;
        change(config);
    })
    .await
}

/// Adds a key and answers its secret.
pub async fn key(app: &TestApp, name: &str, scopes: &[Scope]) -> String {
    let quota = Quota::default();
    limited(app, name, scopes, quota).await
}

async fn limited(app: &TestApp, name: &str, scopes: &[Scope], quota: Quota) -> String {
    let (now, secret) = (Timestamp::now(), Secret::draw().unwrap());
    let (name, scopes) = (name.to_owned(), scopes.iter().copied().collect());
    let key = Key { id: Uuid::now_v7(), name, scopes, quota, created_at: now, revoked_at: None };
    assert!(app.app.store.add_key(&key, &secret.seal(now, None)).await.unwrap());
    secret.reveal()
}

async fn ask(app: &TestApp, key: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
    let mut request = app.request(method, path).bearer_auth(key).header("prefer", "wait=60");
    if let Some(body) = body {
        request = request.json(&body);
    }
    send(request).await
}

const USER: [Scope; 3] = [Scope::Generate, Scope::Edit, Scope::Read];

/// Every operation of the document, with its ids replaced by one that nobody has.
fn operations(app: &darkroom::app::App) -> Vec<(Method, String, Value)> {
    let _ = app;
    let api = serde_json::to_value(darkroom::http::api()).unwrap();
    let mut all = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            let path = path.replace("{id}", &Uuid::now_v7().to_string()).replace("{index}", "0");
            all.push((method, path.replace("{code}", "gone"), operation.clone()));
        }
    }
    all
}

#[tokio::test]
async fn without_a_key_nothing_opens_but_what_is_public() {
    let app = guarded().await;
    let mut closed = 0;
    for (method, path, operation) in operations(&app.app) {
        let open = operation["security"] == json!([{}]) || path == "/metrics";
        let answer = send(app.request(method.clone(), &path)).await;
        assert_eq!(answer.status == 401, !open, "{method} {path}: {}", answer.status);
        if !open {
            closed += 1;
            let names = [&answer.json()["code"], &answer.json()["error"]].map(|name| name == "unauthorized");
            assert!(names.contains(&true), "{method} {path}: {}", answer.json());
            assert!(answer.header("www-authenticate").contains("Bearer"));
        }
    }
    assert!(closed > 12, "{closed}");
    assert_eq!(app.get("/docs/").await.status, 200);
    assert_eq!(app.get("/no/such/path").await.status, 404);
}

#[tokio::test]
async fn every_operation_says_what_it_needs() {
    let app = TestApp::start().await;
    for (method, path, operation) in operations(&app.app) {
        assert!(operation["security"].is_array(), "{method} {path} has no `security`: only `admin` may use it");
    }
}

#[tokio::test]
async fn a_scope_opens_its_own_routes_and_no_others() {
    let app = guarded().await;
    for scope in [Scope::Generate, Scope::Edit, Scope::Read] {
        let key = key(&app, scope.name(), &[scope]).await;
        for (method, path, operation) in operations(&app.app) {
            let needed = operation["security"].as_array().unwrap();
            let opens = needed.iter().any(|one| one == &json!({}) || one["key"][0] == scope.name());
            if path == "/v1/events" {
                continue; // it does not end; api_feed reads it
            }
            let answer = ask(&app, &key, method.clone(), &path, None).await;
            let opens = opens || path == "/metrics";
            assert_eq!(answer.status != 403, opens, "{scope}: {method} {path}: {}", answer.status);
            assert_ne!(answer.status, 401, "{scope}: {method} {path}");
        }
    }
}

#[tokio::test]
async fn a_wrong_key_is_as_good_as_none() {
    let app = guarded().await;
    let good = key(&app, "good", &USER).await;
    let other = Secret::draw().unwrap().reveal();
    let (id, secret) = good.rsplit_once('_').unwrap();
    let changed = format!("{id}_{}", secret.chars().rev().collect::<String>());
    let mixed = format!("{id}_{}", other.rsplit_once('_').unwrap().1);
    let tries = [changed, mixed, other, id.to_owned(), String::new(), "dk_".into(), format!("{good}x"), "a.b.c".into()];
    for wrong in tries {
        assert_eq!(ask(&app, &wrong, Method::GET, "/v1/jobs", None).await.status, 401, "{wrong}");
    }
    assert_eq!(ask(&app, &good, Method::GET, "/v1/jobs", None).await.status, 200);
    // Clients that only know a name and a password give the key as the password.
    let basic = app.request(Method::GET, "/v1/jobs").basic_auth("anybody", Some(&good));
    assert_eq!(send(basic).await.status, 200);
    let swapped = app.request(Method::GET, "/v1/jobs").basic_auth(&good, Some("x"));
    assert_eq!(send(swapped).await.status, 401);
    let strange = app.request(Method::GET, "/v1/jobs").header("authorization", format!("Token {good}"));
    assert_eq!(send(strange).await.status, 401);
}

#[tokio::test]
async fn keys_end_by_revoking_rotating_and_time() {
    let app = guarded().await;
    let first = key(&app, "frontend", &USER).await;
    let works = async |key: &str| ask(&app, key, Method::GET, "/v1/jobs", None).await.status == 200;
    let job = ask(&app, &first, Method::POST, "/v1/generations", Some(json!({"steps": 1}))).await.json();

    let now = Timestamp::now();
    let second = Secret::draw().unwrap();
    let hour = now + SignedDuration::from_hours(1);
    assert!(app.app.store.rotate_key("frontend", &second.seal(now, Some(hour)), hour).await.unwrap());
    let second = second.reveal();
    assert!(works(&first).await && works(&second).await, "both work during the grace");
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(
        ask(&app, &second, Method::GET, &path, None).await.status,
        200,
        "jobs belong to the key, not its secret"
    );

    let third = Secret::draw().unwrap();
    let past = now - SignedDuration::from_secs(1);
    assert!(app.app.store.rotate_key("frontend", &third.seal(now, None), past).await.unwrap());
    assert!(!works(&first).await && !works(&second).await && works(&third.reveal()).await);

    assert!(app.app.store.revoke_key("frontend").await.unwrap());
    assert!(!works(&third.reveal()).await);
    assert!(!app.app.store.revoke_key("frontend").await.unwrap());
    key(&app, "frontend", &USER).await;
}

#[tokio::test]
async fn what_belongs_to_another_key_is_not_found() {
    let app = guarded().await;
    let (ann, bob) = (key(&app, "ann", &USER).await, key(&app, "bob", &USER).await);
    let made = json!({"steps": 1, "label": 1});
    let job = ask(&app, &ann, Method::POST, "/v1/generations", Some(made.clone())).await.json();
    let noise = json!({"steps": 1, "output": {"format": "safetensors"}});
    let kept = ask(&app, &ann, Method::POST, "/v1/generations", Some(noise)).await.json();
    let (id, image) = (job["id"].as_str().unwrap(), job["images"][0]["id"].as_str().unwrap());
    let file = kept["files"][0]["id"].as_str().unwrap();

    let paths = [
        (Method::GET, format!("/v1/jobs/{id}")),
        (Method::GET, format!("/v1/jobs/{id}/events")),
        (Method::GET, format!("/v1/jobs/{id}/previews/0")),
        (Method::POST, format!("/v1/jobs/{id}/cancel")),
        (Method::DELETE, format!("/v1/jobs/{id}")),
        (Method::GET, format!("/v1/images/{image}")),
        (Method::HEAD, format!("/v1/images/{image}")),
        (Method::GET, format!("/v1/files/{file}")),
    ];
    for (method, path) in &paths {
        let theirs = ask(&app, &bob, method.clone(), path, None).await;
        assert_eq!(theirs.status, 404, "{method} {path}");
        let nobodys = path.replace(id, &Uuid::now_v7().to_string()).replace(image, &Uuid::now_v7().to_string());
        let nobodys = nobodys.replace(file, &Uuid::now_v7().to_string());
        let never = ask(&app, &bob, method.clone(), &nobodys, None).await;
        assert_eq!(never.status, 404);
        if *method != Method::HEAD {
            assert_eq!(theirs.json()["detail"], never.json()["detail"], "{method} {path} tells that it exists");
        }
    }
    assert_eq!(ask(&app, &bob, Method::GET, "/v1/jobs", None).await.json()["data"], json!([]));
    assert_eq!(ask(&app, &ann, Method::GET, "/v1/jobs", None).await.json()["data"].as_array().unwrap().len(), 2);

    // Nor by naming it in a request.
    let latents = json!({"steps": 1, "latents": {"file": file}});
    let edit = |image: Value| json!({"image": image, "steps": 2, "strength": 0.5});
    assert_eq!(ask(&app, &bob, Method::POST, "/v1/generations", Some(latents.clone())).await.pointers(), ["/latents"]);
    assert_eq!(ask(&app, &ann, Method::POST, "/v1/generations", Some(latents)).await.status, 200);
    let named = edit(json!({"image": image}));
    assert_eq!(ask(&app, &bob, Method::POST, "/v1/edits", Some(named.clone())).await.pointers(), ["/image"]);
    let edited = ask(&app, &ann, Method::POST, "/v1/edits", Some(named)).await.json();
    let blob = edit(edited["request"]["image"].clone());
    assert!(blob["image"]["blob"].is_string(), "{edited}");
    assert_eq!(ask(&app, &bob, Method::POST, "/v1/edits", Some(blob.clone())).await.pointers(), ["/image"]);
    assert_eq!(ask(&app, &ann, Method::POST, "/v1/edits", Some(blob)).await.status, 200);
    let inversion = json!({"inversion": file, "prompt": ""});
    assert_eq!(ask(&app, &bob, Method::POST, "/v1/edits", Some(inversion)).await.pointers()[0], "/inversion");

    // An administrator sees all; an erased job stays a secret to others.
    let admin = key(&app, "admin", &[Scope::Admin]).await;
    assert_eq!(ask(&app, &admin, Method::GET, "/v1/jobs", None).await.json()["data"].as_array().unwrap().len(), 5);
    assert_eq!(ask(&app, &ann, Method::DELETE, &format!("/v1/jobs/{id}"), None).await.status, 204);
    for path in [format!("/v1/jobs/{id}"), format!("/v1/images/{image}")] {
        assert_eq!(ask(&app, &ann, Method::GET, &path, None).await.status, 410);
        assert_eq!(ask(&app, &bob, Method::GET, &path, None).await.status, 404);
        assert_eq!(ask(&app, &admin, Method::GET, &path, None).await.status, 410);
    }
}

#[tokio::test]
async fn pictures_have_addresses_that_a_browser_can_follow() {
    let app = guarded().await;
    let ann = key(&app, "ann", &USER).await;
    let job = ask(&app, &ann, Method::POST, "/v1/generations", Some(json!({"steps": 1, "label": 1}))).await.json();
    let url = job["images"][0]["url"].as_str().unwrap().to_owned();
    let answer = app.get(&url).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "image/png"), "{url}");

    let (path, query) = url.split_once('?').unwrap();
    let id = job["id"].as_str().unwrap();
    let again = ask(&app, &ann, Method::GET, &format!("/v1/jobs/{id}"), None).await.json();
    assert_eq!(again["images"][0]["url"], url, "equal, so that caches work");
    let listed = ask(&app, &ann, Method::GET, "/v1/jobs", None).await.json();
    assert_eq!(listed["data"][0]["images"][0]["url"], url);
    let text =
        String::from_utf8(ask(&app, &ann, Method::GET, &format!("/v1/jobs/{id}/events"), None).await.body).unwrap();
    assert!(text.contains(&url), "{text}");

    let (expires, signature) = query.split_once('&').unwrap();
    let later = expires.strip_prefix("expires=").unwrap().parse::<i64>().unwrap();
    for wrong in [
        path.to_owned(),
        format!("{path}?{expires}"),
        format!("{path}?expires={}&{signature}", later + 3600),
        format!("{path}?{expires}&{signature}A"),
        format!("/v1/images/{}?{query}", Uuid::now_v7()),
        format!("/v1/jobs/{id}?{query}"),
    ] {
        assert_eq!(app.get(&wrong).await.status, 401, "{wrong}");
    }
    assert_eq!(send(app.request(Method::DELETE, &url)).await.status, 405);
    assert_eq!(ask(&app, &ann, Method::GET, path, None).await.status, 200, "the key opens it too");
}

#[tokio::test]
async fn an_address_ends_within_twice_its_life() {
    let links = darkroom::access::Links::signed(b"secret", 100);
    let now = Timestamp::from_second(1_000_050).unwrap();
    let url = links.to("/v1/images/a", now);
    let (expires, signature) = url.split_once("?expires=").unwrap().1.split_once("&signature=").unwrap();
    let expires: i64 = expires.parse().unwrap();
    assert_eq!(expires, 1_000_200);
    let open =
        |path: &str, second: i64| links.open(path, (expires, signature), Timestamp::from_second(second).unwrap());
    assert!(open("/v1/images/a", 1_000_199) && !open("/v1/images/a", 1_000_200) && !open("/v1/images/b", 1_000_050));
    assert_eq!(links.to("/v1/images/a", now + SignedDuration::from_secs(49)), url);
    assert_ne!(links.to("/v1/images/a", now + SignedDuration::from_secs(50)), url);
    let other = darkroom::access::Links::signed(b"another", 100);
    assert!(!other.open("/v1/images/a", (expires, signature), now));
}

#[tokio::test]
async fn requests_are_limited_by_the_minute() {
    let app = guarded().await;
    let quota = Quota { requests_per_minute: Some(3), ..Quota::default() };
    let slow = limited(&app, "slow", &USER, quota).await;
    let other = key(&app, "other", &USER).await;
    for left in ["2", "1", "0"] {
        let answer = ask(&app, &slow, Method::GET, "/v1/models", None).await;
        assert_eq!(
            (answer.status, answer.header("ratelimit-limit"), answer.header("ratelimit-remaining")),
            (200, "3", left)
        );
        assert!(answer.header("ratelimit-reset").parse::<u32>().unwrap() <= 60);
    }
    let refused = ask(&app, &slow, Method::GET, "/v1/models", None).await;
    assert_eq!((refused.status, refused.json()["code"].as_str().unwrap()), (429, "rate_limited"));
    let wait: u32 = refused.header("retry-after").parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(ask(&app, &other, Method::GET, "/v1/models", None).await.status, 200);
    assert_eq!(app.get("/livez").await.status, 200);
}

#[tokio::test]
async fn work_is_limited_by_the_minute_and_the_day() {
    let app = guarded().await;
    let quota = Quota { row_evaluations_per_minute: Some(50), ..Quota::default() };
    let slow = limited(&app, "slow", &USER, quota).await;
    let post = async |key: &str, steps: u32| {
        ask(&app, key, Method::POST, "/v1/generations", Some(json!({"steps": steps, "sampler": "ddim"}))).await
    };
    assert_eq!(post(&slow, 51).await.pointers(), ["/steps"], "never");
    assert_eq!(post(&slow, 30).await.status, 200);
    let refused = post(&slow, 30).await;
    assert_eq!((refused.status, refused.json()["code"].as_str().unwrap()), (429, "rate_limited"));
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(post(&slow, 10).await.status, 200, "what fits still goes");

    let quota = Quota { row_evaluations_per_day: Some(20), ..Quota::default() };
    let daily = limited(&app, "daily", &USER, quota).await;
    assert_eq!(post(&daily, 15).await.status, 200);
    let refused = post(&daily, 6).await;
    assert_eq!((refused.status, refused.header("x-should-retry")), (429, "false"));
    assert!(refused.json()["detail"].as_str().unwrap().contains("15 of the 20"), "{}", refused.json());
    assert_eq!(post(&daily, 5).await.status, 200);
}

#[tokio::test]
async fn only_so_many_jobs_of_a_key_wait() {
    let app = guarded().await;
    let quota = Quota { queued_jobs: Some(1), ..Quota::default() };
    let eager = limited(&app, "eager", &USER, quota).await;
    let long = json!({"steps": 1000, "sampler": "ddpm", "count": 16, "guidance": 3, "label": 1});
    let mut refused = 0;
    for _ in 0..12 {
        let request = app.request(Method::POST, "/v1/generations").bearer_auth(&eager).json(&long);
        let answer = send(request).await;
        assert!([202, 429].contains(&answer.status));
        refused += u32::from(answer.status == 429);
    }
    assert!(refused >= 1);
    let other = key(&app, "other", &USER).await;
    let request = app.request(Method::POST, "/v1/generations").bearer_auth(&other).json(&json!({"steps": 1}));
    assert_eq!(send(request).await.status, 202);
}

/// The answer to a wrong secret of a key that exists takes as long as that to one of a key that does not.
#[tokio::test]
async fn the_time_of_a_refusal_tells_nothing() {
    let app = Arc::new(guarded().await);
    let good = key(&app, "good", &USER).await;
    let id = good.rsplit_once('_').unwrap().0;
    let secret = Secret::draw().unwrap().reveal();
    let known = format!("{id}_{}", secret.rsplit_once('_').unwrap().1);
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..150 {
        for (kind, wrong) in [(0, &known), (1, &secret)] {
            let began = std::time::Instant::now();
            assert_eq!(ask(&app, wrong, Method::GET, "/v1/jobs", None).await.status, 401);
            times[kind].push(began.elapsed().as_secs_f64());
        }
    }
    let [known, unknown] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    // A second query by key is the difference, a tenth of a millisecond; the secret's bytes make none.
    assert!((known - unknown).abs() < 0.002, "{known} against {unknown}");
}
