//! Edits beside generations: they share forwards, none of them notices, and a death of the process changes nothing.

use darkroom::{
    job::{Generation, Kind},
    store::{Allowance, Store, blobs::Blobs, sqlite::SqliteStore},
};
use serde_json::{Value, json};

use crate::{
    api_edits::trained,
    support::{
        app::TestApp,
        jobs::{generation, new_job},
        pictures::{mask, noise, png, url},
        server::Home,
    },
};

fn wish(k: u64) -> Value {
    let samplers = ["ddim", "euler_a", "heun", "dpmpp_2m"];
    json!({"prompt": "a cat, noto style", "steps": 4, "seed": k, "sampler": samplers[k as usize % 4]})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_in_company_is_the_edit_alone() {
    let app = trained().await;
    let image = url(&png(&noise(64, 64)));
    let masked = url(&png(&mask(64, 64, |x, y| x > 20 && y < 40)));
    let from_code = |method: Value| json!({"prompt": "a cat, noto style", "source_prompt": "a dog, noto style", "steps": 4, "seed": 9, "method": method});
    let controlled = json!({"name": "infedit", "attention": {"target_words": ["cat"]}});
    let methods = [json!("direct"), json!("prompt_to_prompt"), json!("edit_friendly"), json!("edict"), controlled];
    let mut edits = vec![wish(0), wish(1), wish(2)];
    edits.extend(methods.map(from_code));
    edits.iter_mut().for_each(|edit| edit["image"] = json!(image));
    edits[1]["mask"] = json!(masked);
    edits[2]["method"] = json!({"name": "inpaint", "resample": 2, "jump": 1});
    edits[2]["mask"] = json!(masked);
    let mut alone = Vec::new();
    for edit in &edits {
        alone.push(app.pixels(&app.edit(edit).await, 0).await);
    }
    let others: Vec<_> = (3..7).map(wish).collect();
    let company = futures_util::future::join_all(others.iter().map(|other| app.generate(other)));
    let edited = futures_util::future::join_all(edits.iter().map(|edit| app.edit(edit)));
    let (_, jobs) = tokio::join!(company, edited);
    for ((job, alone), edit) in jobs.iter().zip(&alone).zip(&edits) {
        let found = app.pixels(job, 0).await;
        let off = found.as_raw().iter().zip(alone.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(off <= 1, "{off}/255 apart: {edit}");
        assert!(off == 0 || job["engine"]["strict"] == false, "strict, and {off}/255 apart");
    }
}

async fn metric(app: &TestApp, name: &str) -> f64 {
    let text = String::from_utf8(app.get("/metrics").await.body).unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("darkroom_{name}{{"))).unwrap_or_default();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_and_generations_share_their_forwards() {
    let folder = tempfile::tempdir().unwrap();
    let (database, blobs) = (
        format!("sqlite://{}", folder.path().join("queue.db").display()),
        format!("file://{}", folder.path().join("blobs").display()),
    );
    let image = Blobs::open(&blobs).unwrap().put_input(png(&noise(8, 8)).into()).await.unwrap();
    let store = SqliteStore::open(&database).await.unwrap();
    for k in 0..8_u32 {
        let made = Generation {
            width: 8,
            height: 8,
            label: Some(1),
            steps: Some(40),
            seed: u64::from(k),
            ..generation("", 1)
        };
        let mut body = serde_json::to_value(&made).unwrap();
        let edit = json!({"image": {"blob": image}, "source_prompt": "", "method": {"name": "sdedit", "feather": 0},
            "strength": 0.75, "resize": "crop"});
        if k % 2 == 0 {
            body.as_object_mut().unwrap().extend(edit.as_object().unwrap().clone());
        }
        let mut new = new_job(serde_json::from_value(body).unwrap());
        new.rows = 2;
        new.job.kind = if k % 2 == 0 { Kind::Edit } else { Kind::Generation };
        store.insert(&new, Allowance::of(100)).await.unwrap();
    }
    drop(store);
    let app = TestApp::with(|config| {
        config.store.database_url = database;
        config.store.blob_url = blobs;
    })
    .await;
    let ended = async || {
        let list = app.get("/v1/jobs").await.json()["data"].as_array().unwrap().clone();
        list.iter().all(|job| job["status"] == "succeeded").then_some(list)
    };
    let mut jobs = None;
    while jobs.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        jobs = ended().await;
    }
    let evaluations: u64 = jobs.unwrap().iter().map(|job| job["usage"]["evaluations"].as_u64().unwrap()).sum();
    assert_eq!(evaluations, 4 * 40 + 4 * 30);
    let forwards = metric(&app, "batch_rows_count").await;
    assert!(forwards <= 1.15 * 40.0, "{forwards} forwards for 40 evaluations of the longest");
    let text = String::from_utf8(app.get("/metrics").await.body).unwrap();
    assert!(text.contains("darkroom_jobs_total{kind=\"edit\",status=\"succeeded\"} 4"), "{text}");
}

#[tokio::test]
async fn a_death_in_the_middle_of_an_edit_changes_nothing() {
    let masked = url(&png(&mask(8, 8, |x, _| x < 5)));
    let method = json!({"name": "inpaint", "resample": 3, "jump": 20, "noise": "fresh"});
    let body = json!({"image": url(&png(&noise(8, 8))), "mask": masked, "method": method, "steps": 400, "count": 8,
        "sampler": "ddpm", "seed": 3});
    let submitted = async |server: &crate::support::server::Server| {
        let answer = server.post("/v1/edits", &body).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let home = Home::new();
    let server = home.start();
    let id = submitted(&server).await;
    let undisturbed = server.pictures(&server.ended(&id).await).await;

    let home = Home::new();
    let mut server = home.start();
    let id = submitted(&server).await;
    while server.json(&format!("/v1/jobs/{id}")).await["progress"]["evaluations"] == 0 {}
    server.kill();
    let server = home.start();
    let job = server.ended(&id).await;
    assert_eq!((&job["status"], &job["attempt"]), (&json!("succeeded"), &json!(2)), "{job}");
    assert!(server.pictures(&job).await == undisturbed);
}
