//! Names of AUTOMATIC1111's samplers and schedules, and what they do.

use darkroom::http::a1111::names::{SAMPLERS, SCHEDULERS, find_sampler, find_scheduler};
use serde_json::{Value, json};

use crate::support::{
    a1111::{info, pixels, refused, txt2img, with},
    app::TestApp,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_sampler_and_every_schedule_makes_a_picture() {
    let app = TestApp::start().await;
    for sampler in SAMPLERS {
        let answer = txt2img(&app, &json!({"sampler_name": sampler.name})).await;
        assert_eq!(info(&answer)["sampler_name"], sampler.name);
        for scheduler in SCHEDULERS {
            let answer = txt2img(&app, &json!({"sampler_name": sampler.name, "scheduler": scheduler.name})).await;
            assert_eq!(pixels(&answer)[0].dimensions(), (8, 8), "{} over {}", sampler.name, scheduler.name);
            assert_eq!(info(&answer)["extra_generation_params"]["Schedule type"], scheduler.label);
        }
    }
    let listed = app.get("/sdapi/v1/samplers").await.json();
    let names: Vec<&str> = listed.as_array().unwrap().iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names, SAMPLERS.iter().map(|sampler| sampler.name).collect::<Vec<_>>());
    let listed = app.get("/sdapi/v1/schedulers").await.json();
    assert_eq!((&listed[0]["name"], listed.as_array().unwrap().len()), (&json!("automatic"), SCHEDULERS.len() + 1));
}

#[test]
fn names_old_and_new_in_any_case_are_known() {
    let sampler = |name: &str| find_sampler(name).map(|(sampler, schedule)| (sampler.name, schedule.map(|s| s.name)));
    for (name, found) in [
        ("Euler a", ("Euler a", None)),
        ("euler A", ("Euler a", None)),
        ("k_euler_a", ("Euler a", None)),
        ("euler_ancestral", ("Euler a", None)),
        ("DPM++ 2M Karras", ("DPM++ 2M", Some("karras"))),
        ("dpm++ 2m sde karras", ("DPM++ 2M SDE", Some("karras"))),
        ("DPM++ 2M SDE Exponential", ("DPM++ 2M SDE", Some("exponential"))),
        ("DPM++ 2M SDE Heun", ("DPM++ 2M SDE Heun", None)),
        ("DPM++ 2M SDE Heun Karras", ("DPM++ 2M SDE Heun", Some("karras"))),
        ("LMS Karras", ("LMS", Some("karras"))),
        ("UNIPC", ("UniPC", None)),
    ] {
        assert_eq!(sampler(name), Ok(found), "{name}");
    }
    for name in ["", " ", "Karras", "Euler  Karrass", "Eulé Karras", "é", "DDIM CFG++"] {
        assert!(find_sampler(name).is_err(), "{name}");
    }
    let scheduler = |name: &str| find_scheduler(name).map(|found| found.map(|found| found.name));
    for name in ["automatic", "Automatic", "AUTOMATIC", ""] {
        assert_eq!(scheduler(name), Ok(None), "{name}");
    }
    for (name, found) in [
        ("SGM Uniform", "sgm_uniform"),
        ("sgm_uniform", "sgm_uniform"),
        ("SGMUniform", "sgm_uniform"),
        ("KARRAS", "karras"),
    ] {
        assert_eq!(scheduler(name), Ok(Some(found)), "{name}");
    }
    assert!(scheduler("karas").unwrap_err().contains("did you mean `karras`?"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_names_are_refused_with_those_that_are_known() {
    let app = TestApp::start().await;
    let said = refused(&txt2img(&app, &json!({"sampler_name": "Oiler"})).await, 422);
    assert!(said.starts_with("sampler_name: "), "{said}");
    assert!(SAMPLERS.iter().all(|sampler| said.contains(sampler.name)), "{said}");
    let said = refused(&txt2img(&app, &json!({"sampler_index": "Oiler"})).await, 422);
    assert!(said.starts_with("sampler_index: "), "{said}");
    let said = refused(&txt2img(&app, &json!({"scheduler": "karas"})).await, 422);
    assert!(SCHEDULERS.iter().all(|scheduler| said.contains(scheduler.name)), "{said}");
}

/// The native request that each name stands for, by the pictures that both make.
#[tokio::test(flavor = "multi_thread")]
async fn names_stand_for_the_mathematics_of_the_original() {
    let app = TestApp::start().await;
    let sigmas = |name: &str| json!({"name": name, "start": "sigma", "time": "real", "end": "zero"});
    let but_one =
        |name: &str| json!({"name": name, "drop_last": true, "start": "sigma", "time": "real", "end": "zero"});
    let times = json!({"name": "leading", "offset": 1, "start": "unit", "time": "integer", "end": "first"});
    let cases: [(Value, u32, Value, Value); 9] = [
        (json!({"sampler_name": "Euler a"}), 6, json!("euler_a"), sigmas("linspace")),
        (json!({"sampler_name": "DPM++ 2M"}), 6, json!("dpmpp_2m"), sigmas("karras")),
        (json!({"sampler_name": "DPM++ 2M", "scheduler": "Uniform"}), 6, json!("dpmpp_2m"), sigmas("linspace")),
        (json!({"sampler_name": "DPM2"}), 6, json!("dpm2"), but_one("karras")),
        (json!({"sampler_name": "DPM++ 3M SDE"}), 6, json!("dpmpp_3m_sde"), but_one("exponential")),
        (json!({"sampler_name": "DDIM"}), 6, json!("ddim"), times),
        (
            json!({"sampler_name": "UniPC"}),
            6,
            json!({"name": "unipc", "order": 3, "variant": "bh1"}),
            json!({"name": "linspace", "start": "unit", "time": "real", "end": "first"}),
        ),
        (json!({"sampler_name": "Restart"}), 6, json!({"name": "heun", "coordinate": "ratio"}), sigmas("karras")),
        (
            json!({"sampler_name": "Euler", "scheduler": "KL Optimal"}),
            6,
            json!("euler"),
            json!({"name": "kl_optimal", "start": "sigma", "time": "real", "end": "first"}),
        ),
    ];
    for (wish, steps, sampler, schedule) in cases {
        let mut wish = wish;
        wish["steps"] = steps.into();
        let theirs = pixels(&txt2img(&app, &wish).await);
        let ours = json!({"seed": 7, "steps": steps, "sampler": sampler, "schedule": schedule, "guidance": 7});
        let job = app.generate(&ours).await;
        assert_eq!(theirs[0], app.pixels(&job, 0).await, "{wish}");
    }
    // From 20 steps on, nine of them are gone again.
    let theirs = pixels(&txt2img(&app, &json!({"sampler_name": "Restart", "steps": 20})).await);
    let restart = json!({"name": "restart", "steps": 9, "times": 1});
    let ours = json!({"seed": 7, "steps": 11, "sampler": restart, "schedule": sigmas("karras"), "guidance": 7});
    assert_eq!(theirs[0], app.pixels(&app.generate(&ours).await, 0).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_noise_counts_for_samplers_that_know_it() {
    let app = TestApp::start().await;
    let made = async |wish: Value| pixels(&txt2img(&app, &with(json!({"steps": 5}), &wish)).await);
    let plain = made(json!({"sampler_name": "Euler a"})).await;
    assert_eq!(
        made(json!({"sampler_name": "Euler a", "eta": 1, "s_noise": 1, "s_churn": 0, "s_tmax": 0})).await,
        plain
    );
    assert_eq!(made(json!({"sampler_name": "Euler a", "eta": null, "s_noise": null})).await, plain);
    assert_ne!(made(json!({"sampler_name": "Euler a", "eta": 0.5})).await, plain);
    assert_ne!(made(json!({"sampler_name": "Euler a", "s_noise": 0.5})).await, plain);
    assert_ne!(made(json!({"sampler_name": "DDIM", "eta": 1})).await, made(json!({"sampler_name": "DDIM"})).await);
    for sampler in ["Euler", "Heun"] {
        let churned = async |more: Value| made(with(json!({"sampler_name": sampler, "s_churn": 20}), &more)).await;
        let endless = churned(json!({})).await;
        assert_ne!(endless, made(json!({"sampler_name": sampler})).await);
        assert_eq!(endless, churned(json!({"s_tmax": 0, "s_tmin": 0})).await, "0 is no limit");
        assert_ne!(endless, churned(json!({"s_tmax": 1})).await);
        assert_ne!(endless, churned(json!({"s_tmin": 2})).await);
        assert_ne!(endless, churned(json!({"s_noise": 0.5})).await);
    }
    for (wish, named) in [
        (json!({"sampler_name": "DPM++ 2M", "s_churn": 1}), "s_churn"),
        (json!({"sampler_name": "DPM++ 2M", "s_noise": 0.5}), "s_noise"),
        (json!({"sampler_name": "DPM++ 2M", "eta": 0.5}), "eta"),
        (json!({"sampler_name": "Euler a", "eta": 2}), "eta"),
    ] {
        let said = refused(&txt2img(&app, &wish).await, 422);
        assert!(said.starts_with(&format!("{named}: ")), "{said}");
    }
}
