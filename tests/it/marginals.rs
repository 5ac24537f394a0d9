//! Marginals of the stochastic solvers on Gaussian data, whose law is known at every level.

use darkroom::{
    noise::Noise,
    process::Named,
    sampler::SAMPLERS,
    schedule::{End, Ends, Ground, SCHEDULES, Start, Time},
};
use serde_json::{Map, Value, json};
use tch::{Device, Kind, Tensor};

use crate::support::exact::{normal, sample, solver, uniform_lambda};

const DRAWS: u64 = 40_000;
const MEAN: f64 = 0.3;
const DEVIATION: f64 = 0.5;

fn mean_and_deviation(x: &Tensor) -> (f64, f64) {
    (x.mean(Kind::Double).double_value(&[]), x.std(true).double_value(&[]))
}

/// Mean and standard deviation after `steps` leading steps of the Stable Diffusion process from N(0, 1) to sigma 0, data
/// N(0.3, 0.25).
fn at_zero(value: &Value, steps: usize) -> (f64, f64) {
    let process = Named::ScaledLinear.process();
    let exact = normal(process.clone(), MEAN, DEVIATION);
    let ground = Ground { process: &*process, offset: 0, latent: [4, 16, 16] };
    let schedule = SCHEDULES.iter().find(|kind| kind.entry.name == "leading").unwrap().entry.read(Map::new()).unwrap();
    let grid =
        schedule.grid(&ground, steps, &Ends { start: Start::Unit, time: Time::Integer, end: End::Zero }).unwrap();
    let seeds: Vec<u64> = (0..DRAWS).collect();
    let noise = Noise::new(seeds.clone(), &[1, 1, 1], Kind::Double, Device::Cpu);
    let end = sample(&exact, solver(value), &grid, &noise.start(), &seeds);
    mean_and_deviation(&end)
}

#[test]
fn few_steps_have_the_moments_that_theory_says() {
    // Exact propagation of mean and deviation through the affine updates, in double precision.
    let cases = [
        (json!({"name": "ddim", "eta": 0.0}), 20, 0.287896, 0.444276),
        (json!({"name": "ddim", "eta": 1.0}), 20, 0.299378, 0.408874),
        (json!({"name": "ddim", "eta": 1.0}), 100, 0.299609, 0.470722),
        (json!({"name": "ddpm"}), 20, 0.299378, 0.408874),
        (json!({"name": "ddpm", "variance": "large"}), 20, 0.299378, 0.529727),
        (json!({"name": "euler_a"}), 20, 0.299378, 0.408874),
    ];
    for (value, steps, mean, deviation) in cases {
        let (m, s) = at_zero(&value, steps);
        // Four standard errors of 40,000 draws.
        assert!(
            (m - mean).abs() < 0.012 && (s - deviation).abs() < 0.009,
            "{value}: {m:.4} {s:.4}, not {mean} {deviation}"
        );
    }
}

/// Errors of mean and deviation in units of the true deviation, after steps uniform in lambda from the true law at one level
/// to another; the second level still has noise.
fn errors(value: &Value, named: Named, steps: usize) -> (f64, f64) {
    let process = named.process();
    let exact = normal(process.clone(), MEAN, DEVIATION);
    let grid = uniform_lambda(&*process, -1.5, 1.5, steps);
    let truth = |level: &darkroom::process::Level| (level.alpha * MEAN, (level.alpha * DEVIATION).hypot(level.sigma));
    let seeds: Vec<u64> = (0..DRAWS).collect();
    let (mean, deviation) = truth(&grid.first());
    let start = Noise::new(seeds.clone(), &[1, 1, 1], Kind::Double, Device::Cpu).start() * deviation + mean;
    let (m, s) = mean_and_deviation(&sample(&exact, solver(value), &grid, &start, &seeds));
    let (mean, deviation) = truth(&grid.last());
    ((m - mean) / deviation, s / deviation - 1.0)
}

/// Every registered sampler that draws noise, and those that do with other options.
fn stochastic() -> Vec<Value> {
    // Models of consistency answer with ends of paths, which the exact model does not.
    let usual = SAMPLERS.iter().filter(|sampler| !["lcm", "tcd"].contains(&sampler.entry.name));
    let usual = usual.map(|sampler| json!({"name": sampler.entry.name})).filter(|value| solver(value).stochastic());
    let more = [
        json!({"name": "ddpm", "variance": "large"}),
        json!({"name": "ddim", "eta": 1.0}),
        json!({"name": "ddim", "eta": 0.5}),
        json!({"name": "euler_a", "eta": 0.5}),
        json!({"name": "edm", "churn": 30.0, "s_noise": 1.0}),
        json!({"name": "dpm_adaptive", "eta": 1.0, "rtol": 0.01}),
        json!({"name": "dpmpp_2m_sde", "eta": 0.5}),
        json!({"name": "dpmpp_2m_sde", "noise": "independent"}),
        json!({"name": "dpmpp_3m_sde", "noise": "independent"}),
        json!({"name": "dpmpp_sde", "noise": "independent"}),
    ];
    usual.chain(more).collect()
}

#[test]
fn many_steps_have_the_marginals_of_the_process() {
    for named in [Named::ScaledLinear, Named::Ve, Named::Flow] {
        for value in stochastic() {
            let [few, many] = [10, 80].map(|steps| errors(&value, named, steps));
            println!("{named:?} {value}: {few:.4?} {many:.4?}");
        }
    }
}
