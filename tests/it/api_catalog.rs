//! What can be asked for, the service's own state, and its description.

use darkroom::{
    edit::EDIT_METHODS,
    error::Code,
    guidance::GUIDANCES,
    http::{api, problems::PAGES},
    sampler::SAMPLERS,
    schedule::SCHEDULES,
};
use insta::assert_json_snapshot;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::{TestApp, send};

#[tokio::test(flavor = "multi_thread")]
async fn models_in_openais_shape_and_more() {
    let app = TestApp::start().await;
    let list = app.get("/v1/models").await.json();
    let (own, aliases): (Vec<&Value>, Vec<&Value>) =
        list["data"].as_array().unwrap().iter().partition(|model| model["alias_of"].is_null());
    assert_eq!((&list["object"], own.len()), (&json!("list"), 1));
    assert!(aliases.iter().all(|alias| alias["alias_of"] == "gaussian" && alias["default"] == false), "{aliases:?}");
    let model = app.get("/v1/models/gaussian").await.json();
    assert_eq!(model, list["data"][0]);
    assert_json_snapshot!(model, { ".sha256" => "[sha256]", ".title" => "[title]", ".licence" => "[licence]" }, @r#"
    {
      "blocks": [],
      "calibrations": [],
      "created": 0,
      "default": true,
      "defaults": {
        "guidance": 1.0,
        "sampler": "dpmpp_2m",
        "schedule": "trailing",
        "steps": 20
      },
      "family": "gaussian",
      "height": 8,
      "id": "gaussian",
      "labels": 4,
      "latent_shape": [
        1,
        8,
        8
      ],
      "licence": "[licence]",
      "object": "model",
      "owned_by": "darkroom",
      "prediction": "epsilon",
      "process": "variance_preserving",
      "reads_text": false,
      "sha256": "[sha256]",
      "size_multiple": 1,
      "title": "[title]",
      "width": 8
    }
    "#);
    let missing = app.get("/v1/models/nothing").await;
    assert_eq!((missing.status, missing.json()["code"].as_str()), (404, Some("model_not_found")));
}

/// D18
#[tokio::test(flavor = "multi_thread")]
async fn registries_say_all_that_is_registered_and_carry_tags() {
    let app = TestApp::start().await;
    let names = |list: &Value| -> Vec<String> {
        list["data"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    let samplers: Vec<_> = SAMPLERS.iter().map(|item| item.entry.name).collect();
    let schedules: Vec<_> = SCHEDULES.iter().map(|item| item.entry.name).collect();
    let guidances: Vec<_> = GUIDANCES.iter().map(|item| item.entry.name).collect();
    for (path, known) in [("/v1/samplers", samplers), ("/v1/schedules", schedules), ("/v1/guidances", guidances)] {
        let answer = app.get(path).await;
        assert_eq!(names(&answer.json()), known);
        for item in answer.json()["data"].as_array().unwrap() {
            assert_eq!(item["options"]["type"], "object", "{item}");
            assert!(!item["title"].as_str().unwrap().is_empty() && !item["paper"].as_str().unwrap().is_empty());
        }
        let tag = answer.header("etag");
        assert_eq!(send(app.request(Method::GET, path).header("if-none-match", tag)).await.status, 304);
    }
    let samplers = app.get("/v1/samplers").await.json();
    let sampler =
        |name: &str| samplers["data"].as_array().unwrap().iter().find(|item| item["name"] == name).unwrap().clone();
    assert_eq!((&sampler("heun")["order"]["formal"], &sampler("heun")["stochastic"]), (&json!(2), &json!(false)));
    assert_eq!(
        (&sampler("euler_a")["order"]["formal"], &sampler("euler_a")["stochastic"]),
        (&Value::Null, &json!(true))
    );
    assert_eq!(sampler("ddim")["options"]["properties"]["eta"]["default"], 0.0);
    assert_eq!(sampler("ddim")["options"]["additionalProperties"], false);
}

/// Every registered name can be asked for by that name alone.
#[tokio::test(flavor = "multi_thread")]
async fn every_choice_makes_a_picture() {
    let app = TestApp::start().await;
    for sampler in SAMPLERS {
        app.generate(&json!({"sampler": sampler.entry.name, "steps": 3})).await;
    }
    // That one consists of levels, which only the client can give.
    for schedule in SCHEDULES.iter().filter(|schedule| schedule.entry.name != "custom") {
        app.generate(&json!({"schedule": schedule.entry.name, "steps": 3})).await;
    }
    for guidance in GUIDANCES {
        app.generate(&json!({"guidance": guidance.entry.name, "steps": 3, "label": 0})).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_a_page_for_every_code() {
    let app = TestApp::start().await;
    for code in Code::ALL {
        let answer = app.get(&format!("/problems/{}", code.name())).await;
        let page = String::from_utf8(answer.body.clone()).unwrap();
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/html; charset=utf-8"));
        assert!(page.contains(code.title()) && page.contains("What to do"), "{page}");
        assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        assert_eq!(PAGES.iter().filter(|page| page.code == code).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alive_and_ready() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/livez").await.status, 200);
    app.generate(&json!({"steps": 1})).await;
    assert_eq!(app.get("/readyz").await.status, 200);
}

/// The value of a metric with these labels, 0 where it is not there yet.
async fn metric(app: &TestApp, name: &str) -> f64 {
    let text = String::from_utf8(app.get("/metrics").await.body).unwrap();
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_move_as_they_should() {
    let app = TestApp::start().await;
    app.generate(&json!({"steps": 5, "count": 2, "sampler": "ddim", "guidance": 2, "label": 1})).await;
    app.generate(&json!({"steps": 3, "sampler": "heun"})).await;
    app.post("/v1/generations", &json!({"count": 0})).await;
    app.post_text("{").await;
    app.get("/v1/jobs/nothing").await;
    let job = app.submit(&json!({"count": 16, "steps": 1000, "sampler": "ddpm", "guidance": 3, "label": 1})).await;
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    // How long a job took is told of those that began.
    while app.get(&path).await.json()["progress"]["evaluations"] == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    app.post(&format!("{path}/cancel"), &json!({})).await;

    for (name, value) in [
        ("darkroom_jobs_total{kind=\"generation\",status=\"succeeded\"}", 2.0),
        ("darkroom_jobs_total{kind=\"generation\",status=\"canceled\"}", 1.0),
        ("darkroom_evaluations_total{model=\"gaussian\",sampler=\"ddim\"}", 10.0),
        ("darkroom_evaluations_total{model=\"gaussian\",sampler=\"heun\"}", 5.0),
        ("darkroom_job_duration_seconds_count{kind=\"generation\"}", 3.0),
        ("darkroom_rejected_total{reason=\"invalid_request\"}", 1.0),
        ("darkroom_rejected_total{reason=\"invalid_json\"}", 1.0),
        ("darkroom_http_requests_total{method=\"POST\",route=\"/v1/generations\",status=\"422\"}", 1.0),
        ("darkroom_http_requests_total{method=\"POST\",route=\"/v1/generations\",status=\"200\"}", 2.0),
        ("darkroom_http_requests_total{method=\"GET\",route=\"/v1/jobs/{id}\",status=\"404\"}", 1.0),
        ("darkroom_http_request_duration_seconds_count{route=\"/v1/generations\"}", 5.0),
        ("darkroom_queue_depth{model=\"gaussian\"}", 0.0),
    ] {
        assert_eq!(metric(&app, name).await, value, "{name}");
    }
    // A canceled run leaves its device at the next tick.
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        if metric(&app, "darkroom_runs_active{device=\"cpu\"}").await == 0.0 {
            break;
        }
    }
    assert_eq!(metric(&app, "darkroom_runs_active{device=\"cpu\"}").await, 0.0);
    let stage = |stage: &str| format!("darkroom_forward_seconds_count{{model=\"gaussian\",stage=\"{stage}\"}}");
    assert!(metric(&app, &stage("predict")).await >= 10.0 && metric(&app, &stage("decode")).await >= 2.0);
    // Rows of the two finished jobs: 2 x 5 x 2 and 5.
    assert!(metric(&app, "darkroom_batch_rows_sum{model=\"gaussian\"}").await >= 25.0);
    assert!(metric(&app, "darkroom_queue_wait_seconds_count").await >= 2.0);
    assert!(metric(&app, "process_resident_memory_bytes").await > 1e6);
    assert_eq!(metric(&app, "darkroom_build_info{libtorch=\"2.13.0\",version=\"0.1.0\"}").await, 1.0);
}

/// `darkroom openapi > openapi.yaml` mends it.
#[test]
fn openapi_yaml_is_fresh() {
    let fresh = api().to_yaml().unwrap();
    assert!(
        include_str!("../../openapi.yaml").trim_end() == fresh.trim_end(),
        "openapi.yaml is stale: darkroom openapi > openapi.yaml"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_served_with_a_page_to_try_it() {
    let app = TestApp::start().await;
    let json = app.get("/openapi.json").await;
    let document = json.json();
    assert_eq!((json.header("content-type"), &document["openapi"]), ("application/json", &json!("3.1.0")));
    let yaml = app.get("/openapi.yaml").await;
    assert!(yaml.body.starts_with(b"openapi: 3.1.0"));
    let page = app.get("/docs").await;
    assert!((page.status, String::from_utf8(page.body).unwrap().contains("swagger-ui")) == (200, true));
    assert!(String::from_utf8(app.get("/docs/swagger-initializer.js").await.body).unwrap().contains("/openapi.json"));
    // Every reference leads somewhere, and every route may answer a problem.
    let text = document.to_string();
    for target in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(target).is_some(), "{target}");
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        let theirs = path.starts_with("/sdapi/") || path.starts_with("/internal/");
        let name = if theirs { "SdapiError" } else { "Problem" };
        for operation in item.as_object().unwrap().values() {
            assert_eq!(operation["responses"]["default"]["$ref"], format!("#/components/responses/{name}"), "{path}");
        }
    }
    for request in ["GenerateRequest", "EditRequest", "EditForm"] {
        let fields = &document["components"]["schemas"][request]["properties"];
        assert_eq!(fields["sampler"]["oneOf"][0]["enum"].as_array().unwrap().len(), SAMPLERS.len(), "{request}");
    }
    let fields = &document["components"]["schemas"]["EditForm"]["properties"];
    assert_eq!((&fields["image"]["format"], fields["strength"]["maximum"].as_f64()), (&json!("binary"), Some(1.0)));
    let methods: Vec<_> = EDIT_METHODS.iter().map(|method| method.entry.name).collect();
    assert_eq!(fields["method"]["oneOf"][0]["enum"], json!(methods));
    assert_eq!(document["components"]["schemas"]["Guidance_cfg"]["properties"]["scale"]["maximum"], 100.0);
}
