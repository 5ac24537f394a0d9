//! Resfusion against its published table, recursion and reverse step, which are written out in pictures here.

use std::sync::Arc;

use darkroom::{
    denoiser::Prediction,
    model::Model,
    process::{Process, Resfusion},
    schedule::Start,
};
use serde_json::json;

use crate::support::{
    exact::{apart, coordinates},
    restoring::{ask, drawn, finds_what_the_network_knows, grid, model, mu, noisy, restore},
};

/// `sqrt(alpha_bar)` at each time.
fn roots(process: &dyn Process) -> Vec<f64> {
    (0..process.train_steps()).map(|t| process.change(&process.at(t as f64)).mean).collect()
}

/// `sqrt(a)` of the step that ends at each time.
fn kept(roots: &[f64]) -> Vec<f64> {
    (0..roots.len()).map(|t| roots[t] / if t == 0 { 1.0 } else { roots[t - 1] }).collect()
}

#[test]
fn tables_are_cut_where_published() {
    for (steps, left) in [(12, 5), (20, 8), (50, 19), (100, 37), (273, 100), (1000, 368)] {
        assert_eq!(Resfusion::new(steps).train_steps(), left, "{steps}");
    }
    let process = Resfusion::new(12);
    let known = [0.99582, 0.91318, 0.75863, 0.55716, 0.5];
    let (roots, kappas) = (roots(&process), [0.045_739, 0.212_598, 0.355_877, 0.478_774, 0.456_427]);
    let steps = [0.991_667, 0.840_909, 0.690_152, 0.539_394, 0.805_332];
    for t in 0..5 {
        let kappa = process.change(&process.at(t as f64)).kappa;
        assert!((roots[t] - known[t]).abs() < 1e-5, "{t}: {}", roots[t]);
        assert!((kappa - kappas[t]).abs() < 1e-5, "{t}: {kappa}");
        assert!((kept(&roots)[t].powi(2) - steps[t]).abs() < 1e-5, "{t}");
    }
}

/// One step is `x' = sqrt(a) x + (1 - sqrt(a)) r + sqrt(1 - a) eps`: shares of x0, of mu and the variance, step by
/// step.
#[test]
fn levels_are_the_marginals_of_the_published_recursion() {
    let process = Resfusion::new(12);
    let roots = roots(&process);
    let (mut of_x0, mut of_mu, mut variance) = (1.0, 0.0, 0.0);
    for (t, kept) in kept(&roots).into_iter().enumerate() {
        of_x0 = kept * of_x0 - (1.0 - kept);
        of_mu = kept * of_mu + (1.0 - kept);
        variance = kept * kept * variance + 1.0 - kept * kept;
        // x = mean mu + alpha (x0 - mu) + sigma eps.
        let level = process.at(t as f64);
        let mean = process.change(&level).mean;
        assert!((level.alpha - of_x0).abs() < 1e-12 && (mean - level.alpha - of_mu).abs() < 1e-12, "{t}");
        assert!((level.sigma * level.sigma - variance).abs() < 1e-12, "{t}");
    }
}

/// Eq. 10 of Shi et al. 2024 with its variance is DDPM's step here, for every prediction.
#[test]
fn the_published_chain_is_that_of_ddpm() {
    let process = Resfusion::new(12);
    let roots = roots(&process);
    for t in [4, 3, 2, 1] {
        let (root, next, x) = (roots[t], roots[t - 1], noisy());
        let (kept, sigma, next_sigma) = (root / next, (1.0 - root * root).sqrt(), (1.0 - next * next).sqrt());
        let beta = 1.0 - kept * kept;
        let variance = beta * next_sigma * next_sigma / (sigma * sigma);
        let time = t as f64;
        let resnoise = ask(&model(process.clone(), Prediction::ResidualNoise), &x, time);
        let reference = (&x - resnoise * (beta / sigma)) / kept + drawn(&x, 0) * variance.sqrt();
        // The same mean from the clean picture, with the residual that it implies.
        let x0 = ask(&model(process.clone(), Prediction::Sample), &x, time);
        let r = mu() - &x0;
        let mean = ((&x - &r) * (kept * next_sigma * next_sigma) + (&x0 - &r) * (next * beta)) / (sigma * sigma) + &r;
        assert!(apart(&reference, &(mean + drawn(&x, 0) * variance.sqrt())) < 1e-12, "{t}");
        for prediction in Prediction::ALL.into_iter().filter(|kind| t < 4 || *kind != Prediction::Epsilon) {
            let model = model(process.clone(), prediction);
            let made = restore(&model, &json!("ddpm"), &grid(&model, &[time, time - 1.0], false), &x);
            assert!(apart(&made, &reference) < 1e-12, "{prediction:?} at {t}");
        }
    }
}

/// The published start, `x = sqrt(alpha_bar) mu + sqrt(1 - alpha_bar) z`, whatever the picture is.
#[test]
fn the_start_depends_on_the_degraded_picture_alone() {
    for steps in [12, 100, 273] {
        let model = model(Resfusion::new(steps), Prediction::ResidualNoise);
        let process = &model.card().process;
        let (last, root) = (process.at(process.range().1), *roots(&**process).last().unwrap());
        let z = noisy();
        let start = coordinates(&model).0.picture(&(&z * Start::Sigma.scale(&last)), &last);
        let published = mu() * root + &z * (1.0 - root * root).sqrt();
        assert!(apart(&start, &published) < 1e-12, "{steps}");
        assert!((root - 0.5).abs() < 0.01 && (0.0..0.01).contains(&last.alpha), "{steps}: {root} {last:?}");
    }
    assert!((Resfusion::new(12).at(4.0).sigma - 0.75_f64.sqrt()).abs() < 1e-12);
}

/// The residual noise of a known picture is read as trained at every time, the last included.
#[test]
fn residual_noises_are_read_as_they_are_trained() {
    for steps in [12, 100, 273] {
        let process = Resfusion::new(steps);
        let roots = roots(&process);
        let picture = noisy().narrow(0, 0, 1);
        let model = model(process.clone(), Prediction::ResidualNoise);
        let adapter = coordinates(&model).0;
        for (t, kept) in kept(&roots).into_iter().enumerate() {
            let level = process.at(t as f64);
            let (root, r, eps) = (roots[t], mu() - &picture, noisy().narrow(0, 1, 1));
            let sigma = (1.0 - root * root).sqrt();
            let x = &picture * root + &r * (1.0 - root) + &eps * sigma;
            let resnoise = &eps + r * ((1.0 - kept) * sigma / (1.0 - kept * kept));
            let estimate = adapter.read(Prediction::ResidualNoise, &adapter.state(&x, &level), &resnoise, &level);
            assert!(apart(&adapter.clean(&estimate.x0), &picture) < 1e-11, "{steps} steps, time {t}");
        }
    }
}

/// Noise is not read at the start, where it says nothing; all else finds the picture in any number of steps.
#[test]
fn any_number_of_steps_finds_what_the_network_knows() {
    let process: Arc<dyn Process> = Arc::new(Resfusion::new(12));
    for prediction in [Prediction::ResidualNoise, Prediction::Residual, Prediction::Sample, Prediction::Flow] {
        finds_what_the_network_knows(&process, prediction);
    }
}
