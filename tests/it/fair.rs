//! Owners share the devices by what their jobs cost, and each waiting job knows when it will start.

use std::{collections::HashMap, time::Duration};

use darkroom::{
    access::Scope,
    engine::{
        forecast::{Forecast, Held},
        ledger::Ledger,
    },
    job::Owner,
    store::{
        Room,
        fair::{Queue, Shares, Waiting, pick},
    },
};
use proptest::prelude::*;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    access::{guarded, key},
    support::app::{TestApp, send},
};

fn owner(name: &str) -> Owner {
    Some(name.into())
}

/// Jobs of so much work each, of one row.
fn jobs(work: &[u64]) -> std::collections::VecDeque<Waiting<Uuid>> {
    work.iter().map(|work| Waiting { id: Uuid::now_v7(), rows: 1, work: *work }).collect()
}

const ROOM: Room = Room { rows: 4, cap: 4, at_least: 2, idle: false };

fn names(picked: &[(Owner, Waiting<Uuid>)]) -> String {
    picked.iter().map(|(owner, _)| owner.as_deref().unwrap_or("-")).collect::<Vec<_>>().join("")
}

#[test]
fn owners_take_turns_by_cost_and_not_by_number() {
    let room = Room { rows: 12, ..ROOM };
    let equal = || vec![(owner("a"), jobs(&[5; 20])), (owner("b"), jobs(&[5; 20]))];
    assert_eq!(names(&pick(&mut equal(), room, &mut Shares::default())), "abababababab");
    let unlike = || vec![(owner("a"), jobs(&[15; 20])), (owner("b"), jobs(&[5; 20]))];
    assert_eq!(names(&pick(&mut unlike(), room, &mut Shares::default())), "abbbabbbabbb", "three small for one large");
    let alone = || vec![(None, jobs(&[15; 20]))];
    assert_eq!(names(&pick(&mut alone(), room, &mut Shares::default())), "-".repeat(12));
}

#[test]
fn who_comes_new_owes_nothing_and_is_owed_nothing() {
    let busy = HashMap::from([(owner("a"), 1000.0), (owner("b"), 1010.0)]);
    let mut queue: Queue<Uuid> = vec![(owner("a"), jobs(&[5; 9])), (owner("c"), jobs(&[5; 9]))];
    let picked = pick(&mut queue, Room { rows: 6, ..ROOM }, &mut Shares::new(busy, Some(1.0)));
    assert_eq!(names(&picked), "acacac", "not all of the newcomer's first");
}

#[test]
fn a_large_job_is_waited_for() {
    let mut queue: Queue<Uuid> = vec![(None, jobs(&[1, 1, 1]))];
    queue[0].1[1].rows = 4;
    let picked = pick(&mut queue, Room { rows: 3, at_least: 0, ..ROOM }, &mut Shares::default());
    assert_eq!((picked.len(), queue[0].1.len()), (1, 2), "nothing behind it goes first");
}

proptest! {
    /// Over a long time no owner with work gets less than its share by more than the largest job.
    #[test]
    fn shares_stay_within_one_job(sizes in prop::collection::vec(1u64..50, 2..5), turns in 20usize..120) {
        let most = *sizes.iter().max().unwrap() as f64;
        let mut queue: Queue<Uuid> =
            sizes.iter().enumerate().map(|(at, size)| (owner(&at.to_string()), jobs(&vec![*size; 2000]))).collect();
        let mut shares = Shares::default();
        for _ in 0..turns {
            pick(&mut queue, Room { rows: 1, at_least: 0, ..ROOM }, &mut shares);
        }
        let spent: Vec<f64> = (0..sizes.len()).map(|at| shares.of(&owner(&at.to_string()))).collect();
        let (least, greatest) = spent.iter().fold((f64::MAX, 0.0f64), |(l, g), s| (l.min(*s), g.max(*s)));
        prop_assert!(greatest - least <= most, "{spent:?}");
    }
}

#[test]
fn the_books_count_what_was_measured() {
    let mut ledger = Ledger::default();
    let ids: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
    ledger.open(ids[0], &owner("a"), 100);
    ledger.close(ids[0], 200.0, 1.0);
    assert!((ledger.per_work().unwrap() - 2.0).abs() < 1e-6);
    ledger.open(ids[1], &owner("a"), 100);
    ledger.open(ids[2], &owner("b"), 10);
    let shares = ledger.shares();
    assert!((shares.of(&owner("a")) - 200.0).abs() < 1.0 && shares.of(&owner("b")) > shares.of(&owner("a")));
    // Half done and cheaper than thought.
    let before = shares.of(&owner("a"));
    ledger.open(ids[3], &owner("a"), 100);
    ledger.close(ids[1], 50.0, 0.5);
    let after = ledger.shares().of(&owner("a"));
    assert!((after - (before + 200.0 - 150.0)).abs() < 5.0, "{before} {after}");
}

#[test]
fn a_forecast_plays_the_queue_through() {
    let held = |work: f64| Held { rows: 2, batch: 2, work };
    let queue: Queue<Uuid> = vec![(None, jobs(&[10, 10, 10]))];
    let ids: Vec<Uuid> = queue[0].1.iter().map(|job| job.id).collect();
    // Two runs of 20 and 60 row evaluations at 5 ms: the first ends after 40 row evaluations of both.
    let forecast =
        Forecast::of(vec![held(20.0), held(60.0)], queue, Room { at_least: 0, ..ROOM }, (Shares::default(), 5.0));
    let ms = |id: &Uuid| forecast.wait(*id).as_secs_f64() * 1e3;
    assert!((ms(&ids[0]) - 200.0).abs() < 5.0 && (ms(&ids[1]) - 200.0).abs() < 5.0, "{} {}", ms(&ids[0]), ms(&ids[1]));
    // Then three run, 2 + 1 + 1 rows an evaluation; ten evaluations on, both small ones end.
    assert!((ms(&ids[2]) - 400.0).abs() < 5.0, "{}", ms(&ids[2]));
    let idle = Forecast::of(vec![], vec![], ROOM, (Shares::default(), 5.0));
    assert_eq!(idle.wait(Uuid::now_v7()), Duration::ZERO);
}

async fn post(app: &TestApp, key: &str, body: &Value) -> String {
    let answer = send(app.request(Method::POST, "/v1/generations").bearer_auth(key).json(body)).await;
    assert_eq!(answer.status, 202, "{}", answer.json());
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn job(app: &TestApp, key: &str, id: &str) -> Value {
    send(app.request(Method::GET, &format!("/v1/jobs/{id}")).bearer_auth(key)).await.json()
}

async fn ended(app: &TestApp, key: &str, id: &str) -> Value {
    for _ in 0..3000 {
        let job = job(app, key, id).await;
        if job["finished_at"].is_string() {
            return job;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{id} does not end");
}

/// One key sends 40 jobs, another one after it: it does not wait for the 40.
#[tokio::test]
async fn a_small_customer_does_not_wait_for_a_large_one() {
    let app = guarded().await;
    let user = [Scope::Generate, Scope::Read];
    let (large, small) = (key(&app, "large", &user).await, key(&app, "small", &user).await);
    let body = json!({"steps": 100, "sampler": "ddpm", "count": 16, "guidance": 3, "label": 1});
    let mut many = Vec::new();
    for _ in 0..40 {
        many.push(post(&app, &large, &body).await);
    }
    let one = post(&app, &small, &body).await;
    let one = ended(&app, &small, &one).await;
    let mut before = 0;
    for id in &many {
        let job = job(&app, &large, id).await;
        before +=
            usize::from(job["finished_at"].as_str().is_some_and(|end| end < one["finished_at"].as_str().unwrap()));
    }
    assert!(before < 25, "{before} of the large customer's 40 jobs ended before the one");
}

#[tokio::test]
async fn the_estimate_of_the_wait_is_honest() {
    let app = TestApp::start().await;
    let body = json!({"steps": 60, "sampler": "ddpm", "count": 16, "guidance": 3, "label": 1});
    app.generate(&body).await; // so that something is measured
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(app.submit(&body).await["id"].as_str().unwrap().to_owned());
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    let path = format!("/v1/jobs/{}", ids[29]);
    let (asked, last) = (jiff::Timestamp::now(), app.get(&path).await.json());
    assert_eq!(last["status"], "queued", "{last}");
    let foreseen = last["estimated_wait_ms"].as_f64().unwrap_or_else(|| panic!("{last}"));
    let started = loop {
        let job = app.get(&path).await.json();
        if let Some(started) = job["started_at"].as_str() {
            assert!(job["estimated_wait_ms"].is_null(), "it does not wait any more");
            break started.parse::<jiff::Timestamp>().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let waited = (started - asked).total(jiff::Unit::Millisecond).unwrap();
    assert!(
        foreseen > waited / 4.0 - 500.0 && foreseen < waited * 4.0 + 500.0,
        "{foreseen} ms foreseen, {waited} waited"
    );
}
