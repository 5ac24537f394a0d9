//! The residual process against its closed forms and published updates, which are written out in pictures here.

use std::sync::Arc;

use darkroom::{
    denoiser::Prediction,
    model::{Model, gaussian::degraded},
    noise::Noise,
    process::{Betas, Process, Residual, Vp},
    schedule::Start,
};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::support::{
    exact::{apart, around, coordinates, sample, solver},
    restoring::{ask, drawn, finds_what_the_network_knows, grid, known, model, mu, noisy, pictures, restore},
};

/// `(A, B)` at the time that networks are told.
fn shares(process: &dyn Process, t: f64) -> (f64, f64) {
    let level = process.at(t);
    (1.0 - level.alpha, level.sigma)
}

#[test]
fn schedules_have_their_closed_forms() {
    let process = Residual::new(1000, 1.0);
    let known =
        [(1.0, 0.001_998, 2e-6), (100.0, 0.18991, 0.01009), (500.0, 0.74975, 0.25025), (900.0, 0.98991, 0.81009)];
    for (t, a, variance) in known {
        let (found, noise) = shares(&process, t - 1.0);
        assert!((found - a).abs() < 1e-5 && (noise * noise - variance).abs() < 1e-5, "{t}: {found} {noise}");
    }
    for t in 1..=1000 {
        let (time, n) = (f64::from(t), 1000.0 * 1001.0);
        let (a, noise) = shares(&process, time - 1.0);
        assert!((a - time * (2000.0 - time + 1.0) / n).abs() < 1e-12, "{t}");
        assert!((noise * noise - time * (time + 1.0) / n).abs() < 1e-12, "{t}");
    }
    assert_eq!((process.at(999.0).alpha, process.at(999.0).sigma), (0.0, 1.0));
    assert!((Residual::new(1000, 0.01).at(999.0).sigma - 0.1).abs() < 1e-15);
}

/// Eq. 12 of Liu et al. 2024: `x' = x - (A - A') r - (B - sqrt(B'^2 - c^2)) eps + c z`.
#[test]
fn published_steps_are_those_of_ddim() {
    let process = Residual::new(1000, 1.0);
    let [residual, noise] = [Prediction::Residual, Prediction::Epsilon].map(|kind| model(process.clone(), kind));
    for (t, s, eta) in [(500.0, 400.0, 0.0), (500.0, 400.0, 1.0), (900.0, 100.0, 0.5)] {
        let x = noisy();
        let ((a, b), (next_a, next_b)) = (shares(&process, t), shares(&process, s));
        let c = (eta * (b * b - next_b * next_b)).sqrt() * next_b / b;
        let kept = (next_b * next_b - c * c).sqrt();
        let (r, eps) = (ask(&residual, &x, t), ask(&noise, &x, t));
        let reference = &x - r * (a - next_a) - eps * (b - kept) + drawn(&x, 0) * c;
        let value = json!({"name": "ddim", "eta": eta.sqrt()});
        for model in [&residual, &noise] {
            let made = restore(model, &value, &grid(model, &[t, s], false), &x);
            assert!(apart(&made, &reference) < 1e-12, "{:?} {t} to {s}, eta {eta}", model.card().prediction);
        }
    }
    let ((_, b), (_, next)) = (shares(&process, 500.0), shares(&process, 400.0));
    let c = (b * b - next * next).sqrt() * next / b;
    let whole = b - (next * next - c * c).sqrt();
    assert!((whole - (b * b - next * next) / b).abs() < 1e-12 && (whole - 0.17997).abs() < 1e-5, "{whole}");
}

/// With `A = 1 - sqrt(alpha_bar)`, `B = sqrt(1 - alpha_bar)` and no degraded picture it is DDPM's process.
#[test]
fn a_converted_ddpm_has_the_samples_of_ddim() {
    let ordinary = Vp::new(&Betas::Linear { ends: (1e-4, 0.02), steps: 1000 });
    let levels = (0..1000).map(|t| ordinary.at(f64::from(t)));
    let converted = Residual::of(&levels.map(|level| (1.0 - level.alpha, level.sigma)).collect::<Vec<_>>());
    let nothing: fn([i64; 3]) -> Vec<f32> = |shape| vec![0.0; shape.iter().product::<i64>().unsigned_abs() as usize];
    let times: Vec<f64> = (0..50).map(|k| 999.0 - 20.0 * f64::from(k)).collect();
    let end = |process: Arc<dyn Process>| {
        let model = around(process, Prediction::Epsilon, pictures(), nothing);
        sample(&model, solver(&json!("ddim")), &grid(&model, &times, true), &noisy(), &[0, 1, 2])
    };
    assert!(apart(&end(Arc::new(ordinary)), &end(Arc::new(converted))) < 1e-10);
}

#[test]
fn every_way_of_prediction_ends_in_the_same_picture() {
    let ends = Prediction::ALL.map(|prediction| {
        let model = model(Residual::new(1000, 0.01), prediction);
        restore(&model, &json!("dpmpp_2m"), &grid(&model, &[900.0, 700.0, 400.0, 100.0], true), &noisy())
    });
    for (end, prediction) in ends.iter().zip(Prediction::ALL) {
        assert!(apart(end, &ends[0]) < 1e-9, "{prediction:?}");
    }
}

#[test]
fn the_start_is_the_degraded_picture_under_noise_of_the_declared_variance() {
    let model = model(Residual::new(1000, 0.01), Prediction::Residual);
    let first = model.card().process.at(999.0);
    let seeds: Vec<u64> = (0..20_000).collect();
    let z = Noise::new(seeds, &[1, 1, 2], Kind::Double, Device::Cpu).start();
    for start in [Start::Unit, Start::Sigma] {
        let x = coordinates(&model).0.picture(&(&z * start.scale(&first)), &first) - mu();
        let deviation = x.std(true).double_value(&[]);
        assert!((deviation - 0.1).abs() < 0.002, "{deviation}");
        assert!(x.mean(Kind::Double).double_value(&[]).abs() < 0.003);
    }
}

/// At the very start a noise says nothing: the first step leaves the degraded picture and takes off noise alone.
#[test]
fn a_noise_without_signal_is_no_picture() {
    let process = Residual::new(1000, 1.0);
    let last = process.at(999.0);
    let model = model(process, Prediction::Epsilon);
    let adapter = coordinates(&model).0;
    let y = adapter.state(&noisy(), &last);
    let estimate = adapter.read(Prediction::Epsilon, &y, &y, &last);
    assert_eq!(apart(&adapter.clean(&estimate.x0), &(&y * 0.0 + mu())), 0.0);
    let end = restore(&model, &json!("ddim"), &grid(&model, &[999.0, 799.0, 599.0, 399.0, 199.0], true), &noisy());
    assert!(apart(&end, &Tensor::from_slice(&[0.0, 0.0])) < 1.5);
}

#[test]
fn any_number_of_steps_finds_what_the_network_knows() {
    let process: Arc<dyn Process> = Arc::new(Residual::new(1000, 1.0));
    for prediction in [Prediction::Residual, Prediction::Sample] {
        finds_what_the_network_knows(&process, prediction);
    }
}

/// Fresh noise, of whatever share, leaves `x0 + A r` and `B^2` at every level on the way.
#[test]
fn runs_have_the_published_marginals() {
    let picture = [0.7, -0.2];
    let model = around(Arc::new(Residual::new(1000, 1.0)), Prediction::Residual, known(picture), degraded);
    let seeds: Vec<u64> = (0..40_000).collect();
    let z = Noise::new(seeds.clone(), &[1, 1, 2], Kind::Double, Device::Cpu).start();
    for value in [json!("ddpm"), json!({"name": "ddim", "eta": 0.5}), json!("ddim"), json!("euler_a")] {
        let grid = grid(&model, &[999.0, 700.0, 300.0, 100.0], false);
        let x = coordinates(&model).0.picture(&sample(&model, solver(&value), &grid, &z, &seeds), &grid.last());
        let (a, b) = shares(&*model.card().process, 100.0);
        let x0 = Tensor::from_slice(&picture).view([1, 1, 1, 2]);
        let mean = &x0 + (mu() - &x0) * a;
        assert!(apart(&x.mean_dim([0i64].as_slice(), true, Kind::Double), &mean) < 0.03 * b, "{value}");
        assert!(((x - mean).std(true).double_value(&[]) / b - 1.0).abs() < 0.02, "{value}");
    }
}
