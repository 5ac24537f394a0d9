//! Schedules through the API: levels of the client's own, and what a schedule refuses.

use serde_json::{Value, json};

use crate::support::app::TestApp;

fn wish(schedule: Value) -> Value {
    json!({"seed": 7, "sampler": "ddim", "schedule": schedule})
}

/// The request with the number of steps said too.
fn with_steps(request: &Value, steps: u32) -> Value {
    let mut request = request.clone();
    request["steps"] = json!(steps);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn own_levels_make_the_picture_of_the_schedule_they_come_from() {
    let app = TestApp::start().await;
    let trailing = app.generate(&with_steps(&wish(json!("trailing")), 4)).await;
    let picture = app.picture(&trailing, 0).await;
    let latents = |schedule: Value, steps: Option<u32>| {
        let mut request = wish(schedule);
        request["output"] = json!({"format": "safetensors"});
        steps.map_or(request.clone(), |steps| with_steps(&request, steps))
    };
    let file = async |request: Value| {
        let job = app.generate(&request).await;
        app.get(job["files"][0]["url"].as_str().unwrap()).await.body
    };
    let wanted = file(latents(json!("trailing"), Some(4))).await;
    let times = json!({"name": "custom", "timesteps": [999, 749, 499, 249]});
    assert_eq!(file(latents(times.clone(), None)).await, wanted);
    assert_eq!(file(latents(times.clone(), Some(4))).await, wanted);
    let other = json!({"name": "custom", "timesteps": [999, 749, 499, 200]});
    assert_ne!(file(latents(other, None)).await, wanted);

    let job = app.generate(&wish(times)).await;
    assert_eq!(job["usage"]["evaluations"], 4);
    assert_ne!(app.picture(&job, 0).await, picture, "a PNG says what made it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_zero_is_the_clean_end_and_no_step() {
    let app = TestApp::start().await;
    let sigmas = |list: Value| wish(json!({"name": "custom", "sigmas": list}));
    let (with, without) =
        (app.generate(&sigmas(json!([14.6, 2.0, 0.1, 0]))).await, app.generate(&sigmas(json!([14.6, 2.0, 0.1]))).await);
    assert_eq!((&with["usage"]["evaluations"], &without["usage"]["evaluations"]), (&json!(3), &json!(3)));
    assert_eq!(with["images"][0]["width"], without["images"][0]["width"]);
    // Also where the end would be another one otherwise.
    let first = wish(json!({"name": "custom", "sigmas": [14.6, 2.0, 0.1], "end": "first"}));
    assert_eq!(app.generate(&first).await["request"]["schedule"]["end"], "first");
    assert_eq!(with["request"]["schedule"]["end"], "zero");
    let both = wish(json!({"name": "custom", "sigmas": [14.6, 2.0, 0.1, 0], "end": "first"}));
    assert_eq!(app.post("/v1/generations", &both).await.pointers(), ["/schedule/end"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_own_levels_names_no_steps_and_can_be_posted_again() {
    let app = TestApp::start().await;
    for list in
        [json!({"sigmas": [14.615, 6.475, 3.861, 0.399, 0.029, 0]}), json!({"timesteps": [999, 850, 736, 24, 0.5]})]
    {
        let mut schedule = list.clone();
        schedule["name"] = json!("custom");
        let job = app.generate(&with_steps(&wish(schedule), 5)).await;
        let request = &job["request"];
        assert_eq!(request.get("steps"), None, "{request}");
        let again = app.generate(request).await;
        assert_eq!(&again["request"], request);
        let picture = app.picture(&job, 0).await;
        assert_eq!(app.picture(&again, 0).await, picture);
        let text = String::from_utf8_lossy(&picture).into_owned();
        assert!(text.contains("Steps: 5, Sampler: DDIM, Schedule type: custom"), "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_levels_at_fault_are_named_one_by_one() {
    let app = TestApp::start().await;
    let custom = |fields: Value| {
        let mut schedule = fields;
        schedule["name"] = json!("custom");
        wish(schedule)
    };
    let long = |count: u32| (0..count).map(|k| 14.0 - f64::from(k) * 0.01).collect::<Vec<_>>();
    let cases = [
        (custom(json!({})), "/schedule"),
        (wish(json!("custom")), "/schedule"),
        (custom(json!({"timesteps": null, "sigmas": null})), "/schedule"),
        (custom(json!({"timesteps": [999], "sigmas": [14]})), "/schedule"),
        (custom(json!({"timesteps": []})), "/schedule/timesteps"),
        (custom(json!({"sigmas": []})), "/schedule/sigmas"),
        (custom(json!({"sigmas": [0]})), "/schedule/sigmas"),
        (custom(json!({"sigmas": long(1001)})), "/schedule/sigmas"),
        (custom(json!({"sigmas": 3})), "/schedule/sigmas"),
        (custom(json!({"sigmas": [3, "2"]})), "/schedule/sigmas/1"),
        (custom(json!({"sigmas": [3, null]})), "/schedule/sigmas/1"),
        (custom(json!({"sigmas": [14, 5, 5]})), "/schedule/sigmas/2"),
        (custom(json!({"sigmas": [14, 5, 1, 6]})), "/schedule/sigmas/3"),
        (custom(json!({"sigmas": [14, 5, 0, 0]})), "/schedule/sigmas/2"),
        (custom(json!({"sigmas": [14, 5, 1, -1]})), "/schedule/sigmas/3"),
        (custom(json!({"sigmas": [14, 5, 4.999_999_999]})), "/schedule/sigmas/2"),
        (custom(json!({"sigmas": [15, 5]})), "/schedule/sigmas/0"),
        (custom(json!({"sigmas": [1e300, 5]})), "/schedule/sigmas/0"),
        (custom(json!({"sigmas": [14, 5, 1, 0.02]})), "/schedule/sigmas/3"),
        (custom(json!({"timesteps": [1000, 5]})), "/schedule/timesteps/0"),
        (custom(json!({"timesteps": [999, -1]})), "/schedule/timesteps/1"),
        (custom(json!({"timesteps": [10, 20]})), "/schedule/timesteps/1"),
        (custom(json!({"timesteps": [999, 5], "sigma": [1]})), "/schedule/sigma"),
        (with_steps(&custom(json!({"timesteps": [999, 5]})), 3), "/steps"),
        (with_steps(&custom(json!({"sigmas": [14, 5, 0]})), 3), "/steps"),
        (with_steps(&wish(json!("distilled")), 51), "/steps"),
        (with_steps(&wish(json!({"name": "linear_quadratic", "linear_steps": 4})), 4), "/schedule/linear_steps"),
        (wish(json!({"name": "flow_shift", "base_image_seq_len": 4096})), "/schedule/max_image_seq_len"),
        (wish(json!({"name": "karras", "sigma_min": 2, "sigma_max": 2})), "/schedule"),
        (wish(json!({"name": "align_your_steps", "table": "sd3"})), "/schedule/table"),
        (wish(json!({"name": "beta", "over": "betas"})), "/schedule/over"),
        (wish(json!({"name": "beta", "alpha": 0})), "/schedule/alpha"),
    ];
    for (request, pointer) in cases {
        let answer = app.post("/v1/generations", &request).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec![pointer.to_owned()]), "{request}");
    }
    assert_eq!(app.submit(&custom(json!({"sigmas": long(1000)}))).await["request"].get("steps"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_call_schedules_what_other_tools_call_them() {
    let app = TestApp::start().await;
    let names = [
        ("sgm_uniform", "SGM Uniform"),
        ("kl_optimal", "KL Optimal"),
        ("align_your_steps", "Align Your Steps"),
        ("ddim_uniform", "DDIM"),
        ("simple", "Simple"),
        ("normal", "Normal"),
        ("beta", "Beta"),
        ("linspace", "Uniform"),
    ];
    for (ours, theirs) in names {
        let job = app.generate(&with_steps(&wish(json!(ours)), 2)).await;
        let picture = app.picture(&job, 0).await;
        assert!(String::from_utf8_lossy(&picture).contains(&format!("Schedule type: {theirs}, ")), "{ours}");
    }
}

/// The size of the picture moves the levels of a dynamic shift, and nothing else does.
#[tokio::test(flavor = "multi_thread")]
async fn a_dynamic_shift_knows_the_size() {
    let app = TestApp::start().await;
    let latents = async |schedule: Value| {
        let mut request = with_steps(&wish(schedule), 4);
        request["output"] = json!({"format": "safetensors"});
        let job = app.generate(&request).await;
        app.get(job["files"][0]["url"].as_str().unwrap()).await.body
    };
    // 8 x 8 latents are 16 patches of 2 x 2: m is 1.15 there.
    let dynamic = json!({"name": "flow_shift", "kind": "linear", "base_image_seq_len": 1, "max_image_seq_len": 16});
    assert_eq!(latents(dynamic).await, latents(json!({"name": "flow_shift", "shift": 1.15})).await);
}
