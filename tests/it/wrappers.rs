//! Wrappers: what they leave alone, what they change, and with whom they go.

use std::sync::Arc;

use darkroom::{
    denoiser::Prediction,
    process::{Grid, Named, Process},
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
/// Processes of 1000 times each, from and without a degraded picture.
const ACTING: [Named; 2] = [Named::ScaledLinear, Named::Residual];

fn starts(process: &dyn Process) -> Tensor {
    let y = Tensor::from_slice(&[9.0, -4.0, -14.0, 3.0, 5.0, 11.0]).view([3, 1, 1, 2]);
    y * process.at_lambda(FROM).alpha
}

/// How far a wrapped sampler ends from the bare one, for one picture over 9 steps.
fn effect(named: Named, sampler: &Value, wrapper: &Value) -> f64 {
    let process = named.process();
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
    let samplers = ["ddim", "dpmpp_2m", "unipc"].map(|name| json!({"name": name}));
    let everywhere = || samplers.iter().flat_map(|sampler| ACTING.map(|named| (named, sampler)));
    for (neutral, acting) in cases {
        for (named, sampler) in everywhere() {
            assert!(effect(named, sampler, &neutral) < 1e-12, "{neutral} on {sampler}, {named:?}");
            assert!(effect(named, sampler, &acting) > 1e-6, "{acting} on {sampler}, {named:?}");
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
    for process in [Named::ScaledLinear, Named::MeanReverting, Named::Residual].map(Named::process) {
        let exact = normal(process.clone(), 0.0, 0.5, 1);
        let x = Tensor::from_slice(&[0.7, -1.2]).view([2, 1, 1, 1]);
        let grid = uniform_lambda(&*process, FROM, 2.5, 400);
        // Moments are those of pictures.
        let variance = (0.5 * process.change(&process.clean()).scale).powi(2);
        let jump = json!({"name": "teleport", "mean": "zero", "variance": variance, "until": 1.003});
        let value = json!({"name": "heun", "wrap": [jump]});
        let truth = path(&exact, &x, &grid.first(), &grid.last());
        let (made, bare) = (
            sample_wrapped(&exact, &value, &grid, &x, &[1, 2]),
            sample(&exact, solver(&json!("heun")), &grid, &x, &[1, 2]),
        );
        let (made, bare) = (apart(&made, &truth), apart(&bare, &truth));
        assert!(made < bare, "no error on the part that it jumps over: {made:e}, {bare:e}, {}", process.name());
        assert_eq!(Stack::read(&value).unwrap().evaluations(&grid), Some(400));
        let network = json!({"name": "ddim", "wrap": [{"name": "teleport", "until": 1.003}]});
        assert_eq!(Stack::read(&network).unwrap().evaluations(&grid), Some(201));
    }
}

#[test]
fn evaluations_of_stacks_are_those_made() {
    let ends = Ends { start: Start::Sigma, time: Time::Real, end: End::Zero };
    for (named, steps) in Named::ALL.into_iter().flat_map(|named| [1, 2, 5].map(|steps| (named, steps))) {
        let process = named.process();
        let ground = Ground { process: &*process, offset: 0, latent: [1, 1, 2] };
        // From the last time, where restoring processes have no signal, to the first.
        let schedule = SCHEDULES.iter().find(|kind| kind.entry.name == "linspace").unwrap();
        let grid = schedule.entry.read(Map::new()).unwrap().grid(&ground, steps, &ends).unwrap();
        for sampler in SAMPLERS {
            for wrapper in carried(solver(&json!(sampler.entry.name)).carries()) {
                evaluates_as_declared(&process, &grid, &json!({"name": sampler.entry.name, "wrap": [wrapper]}));
            }
        }
    }
    assert_eq!(WRAPPERS.len(), 6);
}

fn evaluates_as_declared(process: &Arc<dyn Process>, grid: &Grid, value: &Value) {
    let stack = Stack::read(value).unwrap();
    // A second model has a test of its own.
    if stack.fits(&**process).is_err() || stack.wrappers[0].partner().is_some() {
        return;
    }
    let exact = model(process.clone(), Prediction::Sample);
    let x = Tensor::from_slice(&[0.9, -0.4]).view([1, 1, 1, 2]) * grid.first().sigma;
    let end = sample_wrapped(&exact, value, grid, &x, &[1]);
    let at = format!("{value} at {} steps of {}", grid.len(), process.name());
    assert_eq!(end.isfinite().all().int64_value(&[]), 1, "{at}");
    let made = exact.counted().0;
    assert_eq!(made, stack.evaluations(grid).map_or(made, |n| n as u64), "{at}");
    assert!(made <= stack.most(grid) as u64, "{at}");
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
        (
            json!({"name": "ddim", "wrap": [{"name": "time_shift", "cutoff": 999}]}),
            "/sampler/wrap/0/cutoff",
            "last time",
        ),
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
