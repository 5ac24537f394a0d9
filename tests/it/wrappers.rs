//! Wrappers: what they leave alone, what they change, and with whom they go.

use darkroom::{
    denoiser::Prediction,
    process::{Named, Process},
    sampler::SAMPLERS,
    schedule::{End, Ends, Ground, SCHEDULES, Start, Time},
    wrapper::{Stack, WRAPPERS, carried},
};
use serde_json::{Map, Value, json};
use tch::Tensor;

use crate::support::{
    exact::{apart, model, normal, path, sample, sample_wrapped, solver, uniform_lambda},
    server::Home,
};

const FROM: f64 = -2.5;

fn starts(process: &dyn Process) -> Tensor {
    let y = Tensor::from_slice(&[9.0, -4.0, -14.0, 3.0, 5.0, 11.0]).view([3, 1, 1, 2]);
    y * process.at_lambda(FROM).alpha
}

/// How far a wrapped sampler ends from the bare one, for one picture over 9 steps.
fn effect(sampler: &Value, wrapper: &Value) -> f64 {
    let process = Named::ScaledLinear.process();
    let exact = model(process.clone(), Prediction::VPrediction);
    let x = starts(&*process).narrow(0, 0, 1);
    let grid = uniform_lambda(&*process, FROM, 2.5, 9);
    let mut wrapped = sampler.clone();
    wrapped["wrap"] = json!([wrapper]);
    apart(&sample_wrapped(&exact, &wrapped, &grid, &x, &[1]), &sample_wrapped(&exact, sampler, &grid, &x, &[1]))
}

#[test]
fn at_their_neutral_setting_they_change_nothing_and_else_they_do() {
    let cases = [
        (json!({"name": "momentum", "beta": 1}), json!({"name": "momentum", "beta": 0.8})),
        (json!({"name": "momentum", "beta": 1}), json!({"name": "momentum", "beta": 0.8, "kind": "nesterov"})),
        (json!({"name": "dualfast", "c": 0}), json!({"name": "dualfast", "c": 0.3})),
        (json!({"name": "dualfast", "c": 0}), json!({"name": "dualfast", "anchor": "first"})),
        (json!({"name": "dualfast", "c": 0}), json!({"name": "dualfast", "course": "constant"})),
        (json!({"name": "epsilon_scale", "scale": 1}), json!({"name": "epsilon_scale"})),
        (json!({"name": "epsilon_scale", "scale": 1}), json!({"name": "epsilon_scale", "scale": 1, "slope": 0.05})),
        (json!({"name": "teleport", "until": 1000}), json!({"name": "teleport", "until": 3})),
        (json!({"name": "time_shift", "window": 0}), json!({"name": "time_shift", "cutoff": 100})),
        (json!({"name": "time_shift", "window": 0}), json!({"name": "time_shift", "placement": "start"})),
        (json!({"name": "time_shift", "window": 0}), json!({"name": "time_shift", "placement": "network"})),
        (json!({"name": "time_shift", "window": 0}), json!({"name": "time_shift", "placement": "delta"})),
        (json!({"name": "time_shift", "cutoff": 1000}), json!({"name": "time_shift", "data_variance": 2.0})),
    ];
    for (neutral, acting) in cases {
        for sampler in [json!({"name": "ddim"}), json!({"name": "dpmpp_2m"}), json!({"name": "unipc"})] {
            assert!(effect(&sampler, &neutral) < 1e-12, "{neutral} on {sampler}");
            assert!(effect(&sampler, &acting) > 1e-6, "{acting} on {sampler}");
        }
    }
}

/// Card identity: with c = h / (2 h_prev), here a half, DDIM and the step before make the midpoint rule of DPM-Solver-2.
#[test]
fn dualfast_on_ddim_is_the_multistep_solver_of_second_order() {
    let process = Named::ScaledLinear.process();
    let exact = model(process.clone(), Prediction::Epsilon);
    let (x, grid) = (starts(&*process), uniform_lambda(&*process, FROM, 2.5, 9));
    let dual = json!({"name": "ddim", "wrap": [{"name": "dualfast", "c": 0.5, "course": "constant"}]});
    let two = json!({"name": "dpm_solver", "order": 2, "variant": "multistep", "lower_order_final": false});
    let a = sample_wrapped(&exact, &dual, &grid, &x, &[1, 2, 3]);
    assert!(apart(&a, &sample(&exact, solver(&two), &grid, &x, &[1, 2, 3])) < 1e-11);
}

/// Generalised heavy ball of order 1 is Euler with heavy ball.
#[test]
fn momentum_on_ddim_is_the_heavy_ball_of_first_order() {
    let process = Named::ScaledLinear.process();
    let exact = model(process.clone(), Prediction::Epsilon);
    let (x, grid) = (starts(&*process), uniform_lambda(&*process, FROM, 2.5, 9));
    let ball = json!({"name": "ddim", "wrap": [{"name": "momentum", "beta": 0.8}]});
    let a = sample_wrapped(&exact, &ball, &grid, &x, &[1, 2, 3]);
    let ghvb = json!({"name": "ghvb", "momentum_number": 0.8});
    assert!(apart(&a, &sample(&exact, solver(&ghvb), &grid, &x, &[1, 2, 3])) < 1e-11);
}

#[test]
fn a_teleport_follows_the_path_of_a_gaussian_exactly_and_saves_its_steps() {
    let process = Named::ScaledLinear.process();
    let exact = normal(process.clone(), 0.0, 0.5);
    let x = Tensor::from_slice(&[0.7, -1.2]).view([2, 1, 1, 1]);
    let grid = uniform_lambda(&*process, FROM, 2.5, 400);
    let value = json!({"name": "heun", "wrap": [{"name": "teleport", "mean": "zero", "variance": 0.25, "until": 1.0}]});
    let truth = path(&exact, &x, &grid.first(), &grid.last());
    let (made, bare) = (
        sample_wrapped(&exact, &value, &grid, &x, &[1, 2]),
        sample(&exact, solver(&json!("heun")), &grid, &x, &[1, 2]),
    );
    assert!(apart(&made, &truth) < apart(&bare, &truth), "no error on the part that it jumps over");
    let stack = Stack::read(&value).unwrap();
    assert_eq!(stack.evaluations(&grid), Some(400));
    let network = json!({"name": "ddim", "wrap": [{"name": "teleport", "until": 1.0}]});
    assert_eq!(Stack::read(&network).unwrap().evaluations(&grid), Some(201));
}

#[test]
fn evaluations_of_stacks_are_those_made() {
    let process = Named::ScaledLinear.process();
    let latent = [1, 1, 2];
    let ground = Ground { process: &*process, offset: 0, latent };
    let schedule = SCHEDULES.iter().find(|kind| kind.entry.name == "karras").unwrap().entry.read(Map::new()).unwrap();
    let ends = Ends { start: Start::Sigma, time: Time::Real, end: End::Zero };
    for steps in [1, 2, 7] {
        let grid = schedule.grid(&ground, steps, &ends).unwrap();
        for sampler in SAMPLERS {
            let bare = solver(&json!(sampler.entry.name));
            for wrapper in carried(bare.carries()).into_iter().filter(|name| *name != "stitch") {
                let exact = model(process.clone(), Prediction::Epsilon);
                let value = json!({"name": sampler.entry.name, "wrap": [wrapper]});
                let x = starts(&*process).narrow(0, 0, 1);
                let end = sample_wrapped(&exact, &value, &grid, &x, &[1]);
                assert_eq!(end.isfinite().all().int64_value(&[]), 1, "{value} at {steps}");
                let stack = Stack::read(&value).unwrap();
                let made = exact.counted().0;
                let declared = stack.evaluations(&grid).map_or(made, |n| n as u64);
                assert_eq!(made, declared, "{value} at {steps}");
                assert!(made <= stack.most(&grid) as u64);
            }
        }
    }
    assert_eq!(WRAPPERS.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_a_sampler_does_not_carry_is_refused_with_what_works() {
    let home = Home::new();
    let server = home.start();
    let cases = [
        (json!({"name": "heun", "wrap": [{"name": "momentum"}]}), "/sampler/wrap/0", "it carries: teleport, stitch"),
        (json!({"name": "ddim", "wrap": ["momentum", "momentum"]}), "/sampler/wrap/1", "twice"),
        (json!({"name": "ddim", "wrap": ["momentun"]}), "/sampler/wrap/0", "momentum"),
        (json!({"name": "ddim", "wrap": [{"name": "momentum", "beta": 2}]}), "/sampler/wrap/0/beta", "maximum"),
        (json!({"name": "ddim", "wrap": {"name": "momentum"}}), "/sampler/wrap", "list"),
        (json!({"name": "ddim", "wrap": [{"name": "stitch", "model": "nobody"}]}), "/sampler/wrap/0/model", "nobody"),
        (json!({"name": "usf", "plan": [{"order": 1}, {"order": 3}]}), "/sampler/plan/1/order", "2 estimates"),
        (json!({"name": "usf", "plan": [{"order": 1, "t": 900.0}, {"order": 1}]}), "/sampler/plan/1/t", "missing"),
    ];
    for (sampler, pointer, says) in cases {
        let answer: Value =
            server.post("/v1/generations", &json!({"sampler": sampler})).send().await.unwrap().json().await.unwrap();
        let fault = &answer["errors"][0];
        assert_eq!(fault["pointer"], pointer, "{answer}");
        assert!(answer.to_string().contains(says), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stacks_and_plans_make_pictures_over_http() {
    let home = Home::new();
    let server = home.start();
    let stack =
        json!({"name": "dpmpp_2m", "wrap": [{"name": "teleport"}, {"name": "momentum", "beta": 0.8}, "time_shift"]});
    let job = server.make(json!({"sampler": stack, "steps": 6, "count": 3, "seed": 7})).await;
    assert_eq!(job["request"]["sampler"]["wrap"][1]["kind"], "hb", "{job}");
    assert_eq!(job["usage"]["evaluations"], job["progress"]["of"], "{job}");
    let adaptive = server.make(json!({"sampler": "dpm_adaptive", "count": 2, "seed": 7})).await;
    assert_eq!(adaptive["progress"]["of"], Value::Null, "{adaptive}");
    let plan = json!({"name": "usf", "plan": [
        {"order": 1, "t": 999.0}, {"order": 2, "t": 600.0, "corrector": "plain"}, {"order": 1, "prediction": "noise", "t": 200.0}]});
    let planned = server.make(json!({"sampler": plan})).await;
    assert_eq!(planned["usage"]["evaluations"], 3, "{planned}");
    assert_eq!(planned["request"]["schedule"]["timesteps"], json!([999.0, 600.0, 200.0]), "{planned}");
    let again = server.make(planned["request"].clone()).await;
    assert_eq!(again["images"][0]["sha256"], planned["images"][0]["sha256"]);
}
