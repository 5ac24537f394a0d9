//! Unlike jobs together: they share forwards, and none of them notices.

use std::path::Path;

use darkroom::{
    app::App,
    config::Switch,
    job::Generation,
    store::{Allowance, Store, sqlite::SqliteStore},
};
use serde_json::{Value, json};

use crate::support::{
    app::TestApp,
    jobs::{generation, new_job},
};

/// Sixteen requests of which no two agree in sampler, steps, guidance and schedule.
fn unlike(k: u64) -> Value {
    let samplers = ["ddim", "ddpm", "euler", "euler_a", "heun", "dpmpp_2m"];
    let schedules = ["trailing", "leading", "linspace", "karras", "exponential", "uniform_lambda"];
    let guidances = [
        json!(5),
        json!("none"),
        json!({"name": "cfg", "scale": 3, "rescale": 0.5}),
        json!({"name": "cfg", "scale": 6, "interval": [0.2, 0.8]}),
    ];
    let at = |n: usize, by: u64| (k * by) as usize % n;
    json!({
        "prompt": "a red heart, twemoji style", "seed": 7 + k, "steps": 4 + k % 5, "sampler": samplers[at(6, 5)],
        "schedule": schedules[at(6, 1)], "guidance": guidances[at(4, 1)],
    })
}

async fn real(strict: Switch) -> TestApp {
    TestApp::with(|config| {
        config.models.dir = concat!(env!("CARGO_MANIFEST_DIR"), "/models").into();
        config.models.default = "emoji64".into();
        config.engine.strict = strict;
    })
    .await
}

async fn make(app: &TestApp, body: &Value) -> Value {
    let request = app.request(reqwest::Method::POST, "/v1/generations").header("prefer", "wait=60").json(body);
    let answer = request.send().await.unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

async fn picture(app: &TestApp, body: &Value) -> (String, Vec<u8>) {
    let job = make(app, body).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    let png = app.get(job["images"][0]["url"].as_str().unwrap()).await.body;
    (
        job["images"][0]["sha256"].as_str().unwrap().to_owned(),
        image::load_from_memory(&png).unwrap().to_rgb8().into_raw(),
    )
}

async fn metric(app: &TestApp, name: &str) -> f64 {
    let text = String::from_utf8(app.get("/metrics").await.body).unwrap();
    let lines = text.lines().filter(|line| line.starts_with(&format!("darkroom_{name}{{")));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// The pictures of sixteen requests one by one, then all at once, with the mean rows of a forward in company.
async fn alone_and_together(app: &TestApp) -> (Vec<(String, Vec<u8>)>, Vec<(String, Vec<u8>)>, f64) {
    let bodies: Vec<Value> = (0..16).map(unlike).collect();
    let mut alone = Vec::new();
    for body in &bodies {
        alone.push(picture(app, body).await);
    }
    let (rows, forwards) = (metric(app, "batch_rows_sum").await, metric(app, "batch_rows_count").await);
    let together = futures_util::future::join_all(bodies.iter().map(|body| picture(app, body))).await;
    let rows = metric(app, "batch_rows_sum").await - rows;
    (alone, together, rows / (metric(app, "batch_rows_count").await - forwards))
}

#[tokio::test(flavor = "multi_thread")]
async fn company_does_not_change_a_picture() {
    let app = real(Switch::Off).await;
    let (alone, together, rows) = alone_and_together(&app).await;
    assert!(rows > 2.5, "forwards held {rows} rows, no more than one job's");
    for (k, (a, b)) in alone.iter().zip(&together).enumerate() {
        let worst = a.1.iter().zip(&b.1).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 1, "request {k}: {worst}/255 apart");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_pictures_are_the_same_bytes_in_any_company() {
    let app = real(Switch::On).await;
    let (alone, together, rows) = alone_and_together(&app).await;
    assert!(rows > 2.5, "forwards held {rows} rows, no more than one job's");
    let sums = |pictures: &[(String, Vec<u8>)]| pictures.iter().map(|picture| picture.0.clone()).collect::<Vec<_>>();
    assert_eq!(sums(&alone), sums(&together));
}

/// A service whose queue held these jobs before it started.
async fn started_with(
    folder: &Path,
    requests: Vec<Generation>,
    change: impl FnOnce(&mut darkroom::config::Config),
) -> TestApp {
    let url = format!("sqlite://{}", folder.join("queue.db").display());
    let store = SqliteStore::open(&url).await.unwrap();
    for request in requests {
        let mut new = new_job(request);
        new.rows = 2 * new.job.request.count();
        store.insert(&new, Allowance::of(100)).await.unwrap();
    }
    drop(store);
    TestApp::with(|config| {
        config.store.database_url = url;
        change(config);
    })
    .await
}

fn valid(app: Value) -> Generation {
    let mut request = generation("", 1);
    let steps = app["steps"].as_u64().unwrap();
    request.steps = Some(u32::try_from(steps).unwrap());
    request.count = u32::try_from(app["count"].as_u64().unwrap_or(1)).unwrap();
    request.label = Some(1);
    (request.width, request.height) = (8, 8);
    request.sampler = json!({"name": app["sampler"]});
    request.guidance = json!({"name": "cfg", "scale": 2.0});
    request
}

async fn all(app: &App) -> Vec<darkroom::job::Job> {
    app.store.list(&darkroom::store::Filter { limit: 100, ..Default::default() }).await.unwrap()
}

async fn until(app: &App, done: impl Fn(&[darkroom::job::Job]) -> bool) -> Vec<darkroom::job::Job> {
    for _ in 0..6000 {
        let jobs = all(app).await;
        if done(&jobs) {
            return jobs;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("the jobs did not come to their end");
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_unlike_jobs_take_the_forwards_of_the_longest() {
    let folder = tempfile::tempdir().unwrap();
    let samplers = ["ddim", "ddpm", "euler", "euler_a", "heun", "dpmpp_2m"];
    let requests = (0..16).map(|k| valid(json!({"steps": 10 + 2 * k, "sampler": samplers[k % 6]}))).collect();
    let app = started_with(folder.path(), requests, |config| config.engine.max_rows = 64).await;
    let jobs = until(&app.app, |jobs| jobs.iter().all(|job| job.status.is_final())).await;
    assert!(jobs.iter().all(|job| job.error.is_none()), "{jobs:?}");
    let longest = jobs.iter().map(|job| job.usage.unwrap().evaluations).max().unwrap() as f64;
    let forwards = metric(&app, "batch_rows_count").await;
    let rows: u64 = jobs.iter().map(|job| job.usage.unwrap().rows).sum();
    assert!(forwards <= 1.15 * longest, "{forwards} forwards for {longest} evaluations");
    assert_eq!(metric(&app, "batch_rows_sum").await, rows as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_job_behind_a_great_one_does_not_wait_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let great = valid(json!({"steps": 1000, "sampler": "ddim", "count": 16}));
    let small = valid(json!({"steps": 20, "sampler": "dpmpp_2m"}));
    let app = started_with(folder.path(), vec![great, small], |config| config.engine.max_rows = 16).await;
    let mut events = Vec::new();
    for job in all(&app.app).await {
        events.push((job.request.count(), job.id));
    }
    let (_, small) = events.iter().find(|(count, _)| *count == 1).unwrap();
    let (_, great) = events.iter().find(|(count, _)| *count == 16).unwrap();
    app.app.wait(*small, std::time::Duration::from_secs(30)).await.unwrap().unwrap();
    let progress = app.app.engine.progress(*great).unwrap();
    assert!(progress.evaluations * 20 < progress.of.unwrap(), "{progress:?}");
    app.app.cancel(*great).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_not_finite_ends_alone() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let app = TestApp::start().await;
    let poison = darkroom::pixels::latents::write(&[3e38; 64], [1, 8, 8]).unwrap();
    let bad = json!({"steps": 40, "latents": STANDARD.encode(poison), "output": {"format": "safetensors"}});
    let good = json!({"steps": 40, "seed": 3});
    let (bad, before) = (make(&app, &bad), picture(&app, &good));
    let (bad, company) = tokio::join!(bad, before);
    assert_eq!((&bad["status"], &bad["error"]["code"]), (&json!("failed"), &json!("not_finite")), "{bad}");
    assert_eq!(company, picture(&app, &good).await);
}
