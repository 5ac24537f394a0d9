//! What becomes of a request: waiting, looking, listing, canceling, erasing, and a server on its way down.

use std::{collections::HashSet, time::Duration};

use darkroom::{
    http::{api, wishes::Wishes},
    job::Job,
};
use insta::assert_json_snapshot;
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp, send};

/// A job that takes a while: many evaluations of the exact model.
fn long() -> Value {
    json!({"count": 16, "steps": 1000, "sampler": "ddim", "guidance": 3, "label": 1})
}

async fn post_with(app: &TestApp, headers: &[(&str, &str)], body: &Value) -> Answer {
    let request = app.request(Method::POST, "/v1/generations").json(body);
    send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

fn id(job: &Value) -> &str {
    job["id"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_job_in_full() {
    let app = TestApp::start().await;
    let answer =
        app.post("/v1/generations", &json!({"seed": 3, "steps": 4, "label": 1, "metadata": {"who": "me"}})).await;
    let job = answer.json();
    assert_eq!((answer.status, answer.header("location")), (202, format!("/v1/jobs/{}", id(&job)).as_str()));
    assert_eq!(answer.header("preference-applied"), "");
    assert_json_snapshot!(job, {
        ".id" => "[id]", ".created_at" => "[time]", ".images[].id" => "[id]", ".images[].url" => "[url]",
    }, @r#"
    {
      "attempt": 0,
      "created_at": "[time]",
      "engine": null,
      "error": null,
      "estimated_wait_ms": null,
      "files": [],
      "finished_at": null,
      "id": "[id]",
      "images": [
        {
          "content_type": "image/png",
          "height": 8,
          "id": "[id]",
          "index": 0,
          "seed": 3,
          "sha256": null,
          "size_bytes": null,
          "state": "pending",
          "url": "[url]",
          "width": 8
        }
      ],
      "kind": "generation",
      "metadata": {
        "who": "me"
      },
      "progress": {
        "evaluations": 0,
        "of": 4
      },
      "queue_position": 0,
      "request": {
        "clip_skip": 0,
        "count": 1,
        "guidance": {
          "interval": [
            0.0,
            1.0
          ],
          "name": "cfg",
          "rescale": 0.0,
          "scale": 1.0
        },
        "height": 8,
        "label": 1,
        "metadata": {
          "who": "me"
        },
        "model": "gaussian",
        "negative_prompt": "",
        "output": {
          "format": "png",
          "quality": 90
        },
        "preview_every": 0,
        "priority": 0,
        "prompt": "",
        "prompt_syntax": "plain",
        "sampler": {
          "difference": "midpoint",
          "lower_order_final": true,
          "name": "dpmpp_2m",
          "threshold": null
        },
        "schedule": {
          "end": "zero",
          "name": "trailing",
          "start": "unit",
          "time": "integer"
        },
        "seed": 3,
        "steps": 4,
        "width": 8
      },
      "started_at": null,
      "status": "queued",
      "usage": null,
      "warnings": []
    }
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_gets_the_finished_job() {
    let app = TestApp::start().await;
    let answer = post_with(&app, &[("prefer", "respond-async, wait=30")], &json!({"steps": 4})).await;
    let job = answer.json();
    assert_eq!((answer.status, answer.header("preference-applied")), (200, "wait=30"));
    assert_eq!((&job["status"], &job["progress"]), (&json!("succeeded"), &json!({"evaluations": 4, "of": 4})));
    assert_eq!(job["usage"]["rows"], 4);
    assert_eq!(job["engine"]["device"], "cpu");
    assert_eq!(job, app.get(&format!("/v1/jobs/{}", id(&job))).await.json());

    let answer = post_with(&app, &[("prefer", "wait=0")], &long()).await;
    assert_eq!((answer.status, answer.header("preference-applied")), (202, "wait=0"));
    let answer = post_with(&app, &[("prefer", "wait=soon")], &json!({"steps": 1})).await;
    assert_eq!((answer.status, answer.header("preference-applied")), (202, ""), "a preference is no demand");
}

#[test]
fn waits_above_a_minute_are_a_minute() {
    let wait = |value: &str| {
        let headers = [("prefer".parse().unwrap(), value.parse().unwrap())].into_iter().collect();
        Wishes::read(&headers, Timestamp::UNIX_EPOCH).unwrap().wait
    };
    assert_eq!(wait("wait=61"), Some(Duration::from_secs(60)));
    assert_eq!(wait("return=minimal, WAIT=\"7\"; x=1"), Some(Duration::from_secs(7)));
    assert_eq!([wait("wait"), wait("wait=-1"), wait("await=3")], [None; 3]);
}

/// `Cancel-After`
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_not_done_in_time_is_canceled() {
    let app = TestApp::with(|config| config.limits.row_evaluations = u64::MAX).await;
    let mut large = long();
    (large["width"], large["height"]) = (json!(64), json!(64));
    let answer = post_with(&app, &[("cancel-after", "1"), ("prefer", "wait=20")], &large).await;
    let job = answer.json();
    assert_eq!((answer.status, &job["status"], &job["error"]["code"]), (200, &json!("canceled"), &json!("deadline")));
    assert!(job["usage"]["evaluations"].as_u64().unwrap() < 16_000);
    for bad in ["soon", "0", "-1", "1.5", "99999999999"] {
        let answer = post_with(&app, &[("cancel-after", bad)], &json!({})).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec!["/headers/cancel-after".to_owned()]), "{bad}");
    }
}

/// C40
#[tokio::test(flavor = "multi_thread")]
async fn times_are_utc_and_in_order() {
    let app = TestApp::start().await;
    let before = Timestamp::now();
    let job = app.generate(&json!({"steps": 3})).await;
    let time = |name: &str| -> Timestamp {
        let text = job[name].as_str().unwrap();
        assert!(text.ends_with('Z'), "{text}");
        text.parse().unwrap()
    };
    let (created, started, finished) = (time("created_at"), time("started_at"), time("finished_at"));
    assert!(created <= started && started <= finished, "{job}");
    let slack = jiff::SignedDuration::from_secs(2);
    assert!(created >= before - slack && finished <= Timestamp::now() + slack);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_newest_first_in_pages() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for index in 0..7 {
        let parity = if index % 2 == 0 { "even" } else { "odd" };
        let job = app.generate(&json!({"steps": 1, "metadata": {"parity": parity, "a.b": index.to_string()}})).await;
        ids.insert(0, id(&job).to_owned());
    }
    let page = async |query: &str| {
        let list = app.get(&format!("/v1/jobs{query}")).await.json();
        assert_eq!(list["object"], "list");
        let found: Vec<_> = list["data"].as_array().unwrap().iter().map(|job| id(job).to_owned()).collect();
        (found, list["next_cursor"].clone())
    };
    assert_eq!(page("").await, (ids.clone(), Value::Null));
    let (mut seen, mut query) = (Vec::new(), "?limit=3".to_owned());
    loop {
        let (found, next) = page(&query).await;
        assert!(found.len() <= 3);
        seen.extend(found);
        let Some(cursor) = next.as_str() else { break };
        query = format!("?limit=3&cursor={cursor}");
    }
    assert_eq!(seen, ids);
    assert_eq!(page("?limit=7").await.1, Value::Null, "a full last page has no next one");
    assert_eq!(page("?metadata.parity=odd").await.0.len(), 3);
    assert_eq!(page("?metadata.parity=odd&metadata.a.b=3").await.0, [ids[3].clone()]);
    assert_eq!(page("?status=succeeded&kind=generation").await.0.len(), 7);
    assert_eq!(page("?status=queued").await.0.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_queries_are_named() {
    let app = TestApp::start().await;
    for (query, pointer) in [
        ("limit=0", "/query/limit"),
        ("limit=201", "/query/limit"),
        ("limit=x", "/query/limit"),
        ("status=done", "/query/status"),
        ("kind=film", "/query/kind"),
        ("cursor=x", "/query/cursor"),
        ("sort=asc", "/query/sort"),
    ] {
        let answer = app.get(&format!("/v1/jobs?{query}")).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec![pointer.to_owned()]), "{query}");
    }
}

/// C41
#[tokio::test(flavor = "multi_thread")]
async fn canceling_one_waiting_job_touches_no_other() {
    let app = TestApp::with(|config| config.engine.max_rows = 2).await;
    let first = app.submit(&json!({"steps": 1000, "sampler": "ddim"})).await;
    let mut queued = Vec::new();
    for _ in 0..3 {
        queued.push(app.submit(&json!({"steps": 1000, "count": 2, "sampler": "ddim"})).await);
    }
    let cancel = format!("/v1/jobs/{}/cancel", id(&queued[2]));
    let once = app.post(&cancel, &json!({})).await;
    let twice = app.post(&cancel, &json!({})).await;
    assert_eq!((once.status, twice.status, once.json()), (200, 200, twice.json()));
    let canceled = once.json();
    assert_eq!((&canceled["status"], &canceled["error"]), (&json!("canceled"), &Value::Null));
    for job in [&first, &queued[0], &queued[1]] {
        let ended = app.events(id(job), None).await.pop().unwrap();
        assert_eq!(ended.event, "succeeded");
    }
    let after = app.get(&format!("/v1/jobs/{}", id(&canceled))).await.json();
    assert_eq!(after, canceled);
    let finished = app.post(&format!("/v1/jobs/{}/cancel", id(&first)), &json!({})).await.json();
    assert_eq!(finished["status"], "succeeded", "a finished job stays as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_stops_when_it_is_canceled() {
    let app = TestApp::start().await;
    let job = app.submit(&long()).await;
    let events = app.some_events(id(&job), None, 3).await;
    assert_eq!(events[2].event, "progress");
    let canceled = app.post(&format!("/v1/jobs/{}/cancel", id(&job)), &json!({})).await.json();
    assert_eq!(canceled["status"], "canceled");
    let evaluations = canceled["usage"]["evaluations"].as_u64().unwrap();
    assert!((1..16_000).contains(&evaluations), "{canceled}");
    assert_eq!(canceled["progress"]["evaluations"], evaluations);
    // The engine has room again, and the job is as it was.
    app.generate(&json!({"steps": 3})).await;
    assert_eq!(app.get(&format!("/v1/jobs/{}", id(&job))).await.json(), canceled);
    let events = app.events(id(&job), None).await;
    assert_eq!(events.last().unwrap().event, "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_is_gone() {
    let app = TestApp::start().await;
    let job = app.generate(&json!({"steps": 2})).await;
    let path = format!("/v1/jobs/{}", id(&job));
    let picture = job["images"][0]["url"].as_str().unwrap();
    assert_eq!(app.get(picture).await.status, 200);
    assert_eq!(app.delete(&path).await.status, 204);
    for path in [&path, picture, &format!("{path}/events"), &format!("{path}/previews/0")] {
        let answer = app.get(path).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (410, Some("gone")), "{path}");
    }
    assert_eq!(app.delete(&path).await.status, 410);
    assert_eq!(app.post(&format!("{path}/cancel"), &json!({})).await.status, 410);
    assert_eq!(app.get("/v1/jobs").await.json()["data"], json!([]));

    let running = app.submit(&long()).await;
    assert_eq!(app.delete(&format!("/v1/jobs/{}", id(&running))).await.status, 204);
    assert_eq!(app.get(running["images"][3]["url"].as_str().unwrap()).await.status, 410);
    app.generate(&json!({"steps": 2})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_429_and_nothing_is_stored() {
    let app = TestApp::with(|config| {
        config.queue.max_depth = 2;
        config.engine.max_rows = 2;
    })
    .await;
    let mut accepted = HashSet::new();
    let refused = loop {
        let answer = app.post("/v1/generations", &long()).await;
        if answer.status != 202 {
            break answer;
        }
        accepted.insert(id(&answer.json()).to_owned());
        assert!(accepted.len() < 10);
    };
    assert_eq!((refused.status, refused.json()["code"].as_str()), (429, Some("queue_full")));
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    let listed: HashSet<_> =
        app.get("/v1/jobs").await.json()["data"].as_array().unwrap().iter().map(|job| id(job).to_owned()).collect();
    assert_eq!(listed, accepted);
    let waiting = app.get("/v1/jobs?status=queued").await.json();
    let places: Vec<_> = waiting["data"].as_array().unwrap().iter().map(|job| job["queue_position"].clone()).collect();
    assert_eq!(places, [json!(1), json!(0)], "newest first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_its_way_down_takes_nothing_and_loses_nothing() {
    let app = TestApp::with(|config| config.drain.timeout_s = 5).await;
    let job = app.submit(&json!({"steps": 1000, "sampler": "ddim", "count": 4})).await;
    app.some_events(id(&job), None, 2).await;
    let service = app.app.clone();
    let draining = tokio::spawn(async move { service.drain().await });
    while !app.app.draining() {
        tokio::task::yield_now().await;
    }
    if !draining.is_finished() {
        let answer = app.post("/v1/generations", &json!({})).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("draining")));
        assert!(!answer.header("retry-after").is_empty());
        assert_eq!(app.get("/readyz").await.status, 503);
        assert_eq!(app.get("/livez").await.status, 200);
    }
    draining.await.unwrap();
    let store = app.app.store.clone();
    app.stop().await;
    match store.job(id(&job).parse().unwrap()).await.unwrap() {
        darkroom::store::Found::Here(job) => assert_eq!(job.status.name(), "succeeded"),
        other => panic!("{other:?}"),
    }
}

/// What is answered is what the description says.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_fit_the_description() {
    let app = TestApp::start().await;
    let description = serde_json::to_value(api()).unwrap();
    let schema = json!({"$ref": "#/components/schemas/Job", "components": description["components"]});
    let validator = jsonschema::validator_for(&schema).unwrap();
    let queued = app.submit(&long()).await;
    let done = app.generate(&json!({"steps": 2, "prompt": "x", "output": {"format": "safetensors"}})).await;
    for job in [&queued, &done] {
        let errors: Vec<_> = validator.iter_errors(job).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        serde_json::from_value::<Job>(job.clone()).unwrap();
    }
    let request = json!({"$ref": "#/components/schemas/GenerateRequest", "components": description["components"]});
    let validator = jsonschema::validator_for(&request).unwrap();
    let errors: Vec<_> = validator.iter_errors(&done["request"]).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "a job's request is a request: {errors:?}");
    assert!(!validator.is_valid(&json!({"sampler": {"name": "ddim", "etta": 1}})), "options are described too");
}
