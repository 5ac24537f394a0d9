//! The mean-reverting process against the published table and updates, which are written out in pictures here.

use std::sync::Arc;

use darkroom::{
    denoiser::Prediction,
    model::{
        Model,
        gaussian::{Gaussian, Mixture},
    },
    process::{Level, MeanReverting, Named, Process, Theta},
};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use crate::support::{
    exact::{apart, around, path, sample, solver, uniform_lambda},
    restoring::{ask, drawn, finds_what_the_network_knows, grid, model, mu, noisy, restore},
};

/// The noise of the published table, in pictures of the range 0..1.
const SCALE: f64 = 50.0 / 255.0;

fn process() -> MeanReverting {
    MeanReverting::new(Theta::Cosine, 100, 0.005, SCALE)
}

/// `(alpha, sigma)` in pictures at a time of the published table.
fn shares(k: usize) -> (f64, f64) {
    let alpha = (-process().thetas()[k]).exp();
    (alpha, SCALE * (1.0 - alpha * alpha).sqrt())
}

#[test]
fn the_table_is_the_published_one() {
    // alpha, sigma and their log ratio, from the definitions in double precision.
    let known = [
        (0, 0.999_936, 0.002_217, 6.1114),
        (1, 0.999_760, 0.004_298, 5.4493),
        (10, 0.985_302, 0.033_494, 3.3816),
        (50, 0.360_803, 0.182_871, 0.6796),
        (90, 0.014_028, 0.196_059, -2.6374),
        (100, 0.005, 0.196_076, -3.6691),
    ];
    for (k, alpha, sigma, lambda) in known {
        let (a, s) = shares(k);
        assert!((a - alpha).abs() < 1e-6 && (s - sigma).abs() < 1e-6, "{k}: {a} {s}");
        assert!(((a / s).ln() - lambda).abs() < 1e-4, "{k}");
        if k > 0 {
            let level = process().at(k as f64);
            assert!((level.alpha - a).abs() < 1e-15 && (level.sigma * SCALE - s).abs() < 1e-15, "{k}: {level:?}");
            assert!((level.lambda() - lambda - SCALE.ln()).abs() < 1e-4, "{k}");
        }
    }
    let linear = MeanReverting::new(Theta::Linear, 100, 0.005, SCALE);
    let constant = MeanReverting::new(Theta::Constant, 100, 0.005, SCALE);
    assert!((linear.at(50.0).alpha - 0.258_980).abs() < 1e-6);
    assert!(
        (constant.thetas()[0] - 0.052_459).abs() < 1e-6 && ((-constant.thetas()[0]).exp() - 0.948_894).abs() < 1e-6
    );
    for process in [linear, constant] {
        assert!((process.at(100.0).alpha - 0.005).abs() < 1e-12);
    }
    assert_eq!(process().range(), (1.0, 100.0));
}

/// What a published update weighs: `lambda` in pictures.
struct Step {
    alpha: (f64, f64),
    sigma: (f64, f64),
    h: f64,
}

impl Step {
    fn new(from: &Level, to: &Level) -> Self {
        let sigma = (SCALE * from.sigma, SCALE * to.sigma);
        let h = (to.alpha / sigma.1).ln() - (from.alpha / sigma.0).ln();
        Self { alpha: (from.alpha, to.alpha), sigma, h }
    }
}

/// An update of A. Li et al. 2025 from the newest output, the scaled difference to the one before, and fresh noise, all
/// around mu.
type Update = fn(&Step, gap: &Tensor, newest: &Tensor, difference: &Tensor, z: &Tensor) -> Tensor;

fn ode_noise(s: &Step, gap: &Tensor, eps: &Tensor, d1: &Tensor, _: &Tensor) -> Tensor {
    let e = s.h.exp_m1();
    gap * (s.alpha.1 / s.alpha.0) - (eps * e + d1 * (e / s.h - 1.0)) * s.sigma.1
}

fn ode_data(s: &Step, gap: &Tensor, x0: &Tensor, d1: &Tensor, _: &Tensor) -> Tensor {
    let e = (-s.h).exp_m1();
    gap * (s.sigma.1 / s.sigma.0) + (x0 * -e + d1 * (e / s.h + 1.0)) * s.alpha.1
}

fn sde_data(s: &Step, gap: &Tensor, x0: &Tensor, d1: &Tensor, z: &Tensor) -> Tensor {
    let e = -(-2.0 * s.h).exp_m1();
    gap * (s.sigma.1 / s.sigma.0 * (-s.h).exp())
        + (x0 * e + d1 * (1.0 - e / (2.0 * s.h))) * s.alpha.1
        + z * (s.sigma.1 * e.sqrt())
}

fn sde_noise(s: &Step, gap: &Tensor, eps: &Tensor, d1: &Tensor, z: &Tensor) -> Tensor {
    let e = s.h.exp_m1();
    gap * (s.alpha.1 / s.alpha.0) - (eps * e + d1 * (e / s.h - 1.0)) * (2.0 * s.sigma.1)
        + z * (s.sigma.1 * (2.0 * s.h).exp_m1().sqrt())
}

/// The published sampler over these times, in pictures; steps below `second` are of second order.
fn published(model: &Gaussian, update: Update, second: usize, times: &[f64]) -> Tensor {
    let middle = if model.card().prediction == Prediction::Sample { mu() } else { mu().zeros_like() };
    let levels: Vec<_> = times.iter().map(|t| model.card().process.at(*t)).collect();
    let mut x = noisy();
    let mut before: Option<(Tensor, f64)> = None;
    for (index, pair) in levels.windows(2).enumerate() {
        let step = Step::new(&pair[0], &pair[1]);
        let newest = ask(model, &x, pair[0].t) - &middle;
        let difference = match &before {
            Some((old, h)) if index < second => (&newest - old) * (step.h / h),
            _ => newest.zeros_like(),
        };
        let z = drawn(&x, u32::try_from(index).unwrap());
        x = mu() + update(&step, &(&x - mu()), &newest, &difference, &z);
        before = Some((newest, step.h));
    }
    x
}

/// The published samplers are those of any other process in `(x - mu) / s`.
#[test]
fn published_updates_are_ordinary_solvers_in_other_variables() {
    let taylor = |name: &str| json!({"name": name, "difference": "taylor", "lower_order_final": false});
    let mut noises = taylor("dpm_solver");
    (noises["order"], noises["variant"]) = (json!(2), json!("multistep"));
    let sde = json!({"name": "dpmpp_2m_sde", "difference": "taylor", "noise": "independent"});
    let of_noises = |order: u32| {
        let mut value = sde.clone();
        (value["form"], value["order"]) = (json!("noise"), json!(order));
        value
    };
    let cases: [(Prediction, Update, usize, Value); 8] = [
        (Prediction::Epsilon, ode_noise, 0, json!("ddim")),
        (Prediction::Epsilon, ode_noise, 3, noises),
        (Prediction::Sample, ode_data, 0, json!("euler")),
        (Prediction::Sample, ode_data, 3, taylor("dpmpp_2m")),
        (Prediction::Sample, sde_data, 0, json!({"name": "ddim", "eta": 1.0})),
        // Its last step is of first order.
        (Prediction::Sample, sde_data, 2, sde.clone()),
        (Prediction::Epsilon, sde_noise, 0, of_noises(1)),
        (Prediction::Epsilon, sde_noise, 2, of_noises(2)),
    ];
    for (prediction, update, second, solver) in cases {
        let model = model(process(), prediction);
        let times = [80.0, 60.0, 35.0, 20.0];
        let made = restore(&model, &solver, &grid(&model, &times, false), &noisy());
        let off = apart(&made, &published(&model, update, second, &times));
        assert!(off < 1e-12, "{solver}: {off:e} apart");
    }
}

/// The reference step of the table (Luo et al. 2023, eq. 11 and its code) is DDPM's, and that of reverse diffusion of
/// first order.
#[test]
fn the_posterior_step_is_ddpm() {
    let model = model(process(), Prediction::Sample);
    let thetas = process().thetas().to_vec();
    for k in [2, 30, 60, 100] {
        let (t, x) = (k as f64, noisy());
        let (a, b, c) = ((thetas[k - 1] - thetas[k]).exp(), (-thetas[k]).exp(), (-thetas[k - 1]).exp());
        let left = 1.0 - b * b;
        let mean =
            mu() + (&x - mu()) * (a * (1.0 - c * c) / left) + (ask(&model, &x, t) - mu()) * (c * (1.0 - a * a) / left);
        let std = SCALE * ((1.0 - a * a) * (1.0 - c * c) / left).sqrt();
        let reference = mean + drawn(&x, 0) * std;
        for solver in [json!("ddpm"), json!({"name": "dpmpp_2m_sde", "noise": "independent"})] {
            let made = restore(&model, &solver, &grid(&model, &[t, t - 1.0], false), &x);
            assert!(apart(&made, &reference) < 1e-12, "{solver} at {k}");
        }
    }
}

/// The velocity of the released networks: `x0 = alpha x + (1 - alpha) mu - (sigma / s) v`.
#[test]
fn velocities_are_in_the_unit_of_the_pictures() {
    let [v, sample, eps] =
        [Prediction::VPrediction, Prediction::Sample, Prediction::Epsilon].map(|kind| model(process(), kind));
    let x = noisy();
    for k in [1, 40, 100] {
        let (alpha, sigma) = shares(k);
        let [v, x0, eps] = [&v, &sample, &eps].map(|model| ask(model, &x, k as f64));
        assert!(apart(&x0, &(&x * alpha + mu() * (1.0 - alpha) - &v * (sigma / SCALE))) < 1e-12, "{k}");
        assert!(apart(&eps, &((v * alpha + (&x - mu()) * (sigma / SCALE)) / SCALE)) < 1e-12, "{k}");
    }
}

#[test]
fn the_degraded_picture_is_returned_where_it_is_clean_already() {
    for prediction in [Prediction::Epsilon, Prediction::Sample, Prediction::Residual] {
        let process: Arc<dyn Process> = Arc::new(process());
        finds_what_the_network_knows(&process, prediction);
    }
}

#[test]
fn the_named_one_has_twice_the_scale() {
    let named = Named::MeanReverting.process();
    let change = named.change(&named.at(50.0));
    assert!((change.scale - 2.0 * SCALE).abs() < 1e-15 && change.mean == 1.0);
    assert_eq!(named.at(50.0), process().at(50.0));
}

/// Two modes of one value around the degraded picture 0.45, at table times down to 0: the published oracle.
fn oracle(prediction: Prediction) -> Gaussian {
    let pictures = Mixture {
        means: Tensor::from_slice(&[0.3, 0.7]).view([2, 1]),
        stds: vec![0.004_f64.sqrt(), 0.002_f64.sqrt()],
        weights: vec![0.4, 0.6],
        labels: vec![0, 1],
    };
    around(Arc::new(process()), prediction, pictures, |_| vec![0.45])
}

/// From the prior's quantiles to time 0, uniform in lambda, in root mean square from the path's end, all in pictures.
fn error(model: &Gaussian, solver_of: &Value, steps: usize) -> f64 {
    let process = &model.card().process;
    let (alpha, sigma) = shares(0);
    let (from, to) = (process.at(100.0).lambda(), (alpha / sigma * SCALE).ln());
    let grid = |steps| uniform_lambda(&**process, from, to, steps);
    let n = 400;
    let quantile = |k: i64| 2.0 * (k as f64 + 0.5) / n as f64 - 1.0;
    let z = Tensor::from_slice(&(0..n).map(quantile).collect::<Vec<_>>()).erfinv() * std::f64::consts::SQRT_2;
    let z = z.view([n, 1, 1, 1]);
    let seeds: Vec<u64> = (0..n.unsigned_abs()).collect();
    let made = sample(model, solver(solver_of), &grid(steps), &z, &seeds);
    let exact = path(model, &z, &grid(1).first(), &grid(1).last());
    ((made - exact).square().mean(Kind::Double).double_value(&[])).sqrt() * SCALE
}

/// Figures of the published updates in double precision, by the solvers that they are.
#[test]
fn errors_are_those_of_the_published_updates() {
    let second = |last: bool| json!({"name": "dpmpp_2m", "difference": "taylor", "lower_order_final": last});
    let mut noises = second(true);
    (noises["name"], noises["order"], noises["variant"]) = (json!("dpm_solver"), json!(2), json!("multistep"));
    let cases = [
        (json!("euler"), [0.0588, 0.0312, 0.0158].as_slice()),
        (second(true), &[0.036, 0.019, 0.0053]),
        (second(false), &[0.063, 0.021]),
        (noises, &[0.0344, 0.0125, 0.0048]),
    ];
    let model = oracle(Prediction::Sample);
    for (solver, known) in cases {
        for (steps, known) in [5, 10, 20].into_iter().zip(known) {
            let found = error(&model, &solver, steps);
            assert!((found / known - 1.0).abs() < 0.05, "{solver} in {steps} steps: {found:.5}, not {known}");
        }
    }
}
