//! Marginals of the stochastic solvers on Gaussian data, whose law is known at every level.

use darkroom::{
    model::Model,
    noise::Noise,
    process::{Level, Named},
    sampler::SAMPLERS,
    schedule::{End, Ends, Ground, SCHEDULES, Start, Time},
};
use serde_json::{Map, Value, json};
use tch::{Device, Kind, Tensor};

use crate::support::exact::{Saying, normal, sample, solver, uniform_lambda};

/// Pictures and their shape: 40,960 independent values.
const PICTURES: u64 = 40;
const SHAPE: [i64; 3] = [1, 32, 32];
const MEAN: f64 = 0.3;
const DEVIATION: f64 = 0.5;

fn mean_and_deviation(x: &Tensor) -> (f64, f64) {
    (x.mean(Kind::Double).double_value(&[]), x.std(true).double_value(&[]))
}

/// Mean and standard deviation after `steps` leading steps of the Stable Diffusion process from N(0, 1) to sigma 0, data
/// N(0.3, 0.25).
fn at_zero(value: &Value, steps: usize) -> (f64, f64) {
    let process = Named::ScaledLinear.process();
    let exact = normal(process.clone(), MEAN, DEVIATION, SHAPE.iter().product());
    let ground = Ground { process: &*process, offset: 0, latent: [4, 16, 16] };
    let schedule = SCHEDULES.iter().find(|kind| kind.entry.name == "leading").unwrap().entry.read(Map::new()).unwrap();
    let grid =
        schedule.grid(&ground, steps, &Ends { start: Start::Unit, time: Time::Integer, end: End::Zero }).unwrap();
    let seeds: Vec<u64> = (0..PICTURES).collect();
    let noise = Noise::new(seeds.clone(), &SHAPE, Kind::Double, Device::Cpu);
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
        // Four standard errors of 40,960 draws.
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
    let exact = normal(process.clone(), MEAN, DEVIATION, SHAPE.iter().product());
    let grid = uniform_lambda(&*process, -1.5, 1.5, steps);
    let truth = |level: &Level| (level.alpha * MEAN, (level.alpha * DEVIATION).hypot(level.sigma));
    let seeds: Vec<u64> = (0..PICTURES).collect();
    let (mean, deviation) = truth(&grid.first());
    let start = Noise::new(seeds.clone(), &SHAPE, Kind::Double, Device::Cpu).start() * deviation + mean;
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
        json!({"name": "restart", "steps": 40}),
        json!({"name": "dpmpp_2m_sde", "eta": 0.5}),
        json!({"name": "dpmpp_2m_sde", "noise": "independent"}),
        json!({"name": "dpmpp_2m_sde", "form": "noise"}),
        json!({"name": "dpmpp_2m_sde", "form": "noise", "order": 1}),
        json!({"name": "dpmpp_2m_sde", "form": "noise", "eta": 0.5}),
        json!({"name": "dpmpp_3m_sde", "noise": "independent"}),
        json!({"name": "dpmpp_sde", "noise": "independent"}),
    ];
    usual.chain(more).collect()
}

#[test]
fn many_steps_have_the_marginals_of_the_process() {
    // In lambda all of these processes are one, so each sampler has its turn on one of them.
    let processes = [Named::ScaledLinear, Named::Ve, Named::Flow].into_iter().cycle();
    for (value, named) in stochastic().into_iter().zip(processes) {
        let [few, many] = [10, 40].map(|steps| errors(&value, named, steps));
        // Four standard errors: sqrt(1 / n) of the mean, sqrt(1 / 2 n) of the deviation.
        assert!(few.0.abs() < 0.02 && many.0.abs() < 0.02, "{named:?} {value}: means off by {few:.4?}, {many:.4?}");
        let (few, many) = (few.1.abs(), many.1.abs());
        // Restart renews the noise in so many steps of its own, whatever the schedule's are.
        let most = if value == json!({"name": "restart"}) { 0.04 } else { 0.014 + few / 3.0 };
        assert!(few < 0.25 && many < most, "{named:?} {value}: deviations off by {few:.4}, {many:.4}");
    }
}

/// The share, -1..1, of the variance of the best step: that of the posterior and what is not known of the clean picture.
fn best(from: &Level, to: &Level) -> f64 {
    let kept = from.alpha / to.alpha * to.sigma;
    let most = from.sigma.powi(2) - kept * kept;
    let least = (to.sigma / from.sigma).powi(2) * most;
    let of_x0 = to.alpha - (to.sigma.powi(2) - least).sqrt() * from.alpha / from.sigma;
    let unknown = (DEVIATION * from.sigma).powi(2) / ((from.alpha * DEVIATION).powi(2) + from.sigma.powi(2));
    let best = least + of_x0 * of_x0 * unknown;
    2.0 * (best / least).ln() / (most / least).ln() - 1.0
}

/// With the best variances the moments of normal data are right in any number of steps; the fixed ones are too small and too
/// large.
#[test]
fn learned_variances_are_between_the_fixed_ones() {
    let process = Named::ScaledLinear.process();
    let grid = uniform_lambda(&*process, -1.5, 1.5, 5);
    let end = grid.last();
    let truth = (end.alpha * DEVIATION).hypot(end.sigma);
    let seeds: Vec<u64> = (0..PICTURES).collect();
    let start = Noise::new(seeds.clone(), &SHAPE, Kind::Double, Device::Cpu).start();
    let start = start * (grid.first().alpha * DEVIATION).hypot(grid.first().sigma) + grid.first().alpha * MEAN;
    let d = SHAPE.iter().product();
    let share = |t| grid.steps().find(|(from, _)| from.t == t).map(|(from, to)| best(&from, &to)).unwrap();
    let saying = Saying { exact: normal(process.clone(), MEAN, DEVIATION, d), share };
    let exact = normal(process, MEAN, DEVIATION, d);
    let deviation = |model: &dyn Model, variance: &str| {
        let solver = solver(&json!({"name": "ddpm", "variance": variance}));
        mean_and_deviation(&sample(model, solver, &grid, &start, &seeds)).1 / truth - 1.0
    };
    let [small, large] = ["small", "large"].map(|variance| deviation(&exact, variance));
    assert!(small < -0.1 && large > 0.1, "{small} {large}");
    assert!(deviation(&saying, "learned").abs() < 0.014);
    // The extra channels change nothing but the noise.
    assert!((deviation(&saying, "small") - small).abs() < 1e-12);
}
