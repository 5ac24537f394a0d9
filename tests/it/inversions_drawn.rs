//! Edit-friendly noise maps and InfEdit's virtual inversion against their closed forms.

use std::sync::Arc;

use darkroom::{
    ask::{Conditioning, Net},
    denoiser::{Anchor, Conditions, Estimate, Prediction},
    edit::{self, Code, Target},
    model::gaussian::Gaussian,
    noise::Noise,
    process::{Grid, Level, Named, Process},
    sampler::Run,
};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use crate::support::exact::{self, apart, around, drive, normal, solver};

fn scaled() -> Arc<dyn Process> {
    Named::ScaledLinear.process()
}

/// `991, 981 .. 1` for 100 steps, and then the least noisy training level as the published code has it.
fn published(steps: usize) -> Grid {
    let process = scaled();
    let stride = 1000 / steps;
    let levels = (0..steps).rev().map(|k| process.at((k * stride + 1) as f64));
    Grid::new(levels.chain([process.at(0.0)]).collect())
}

/// Tells samplers one clean picture, whatever the network says: a perfect denoiser of a point.
struct Point(Tensor);

impl Anchor for Point {
    fn held(&self, x: &Tensor, level: &Level, estimate: Estimate) -> Estimate {
        let eps = (x - &self.0 * level.alpha) / level.sigma;
        Estimate { x0: self.0.shallow_clone(), eps, range: estimate.range }
    }
}

fn code(model: &Gaussian, sampler: &Value, grid: &Grid, x: &Tensor, point: Option<Tensor>) -> Code {
    let net = Net::default();
    let mut run = exact::run(model, &net, grid, x, &[7]);
    run.denoiser.anchor = point.map(|point| Box::new(Point(point)) as Box<dyn Anchor>);
    let method = edit::read(&json!("edit_friendly")).unwrap();
    let solver = solver(sampler);
    drive(&net, model, method.invert().unwrap().find(run, &*solver)).unwrap()
}

fn walked(model: &Gaussian, (method, sampler): (&Value, &Value), grid: &Grid, code: &Code, x: &Tensor) -> Tensor {
    let net = Net::default();
    let run = exact::run(model, &net, grid, x, &[7]);
    let method = edit::read(method).unwrap();
    let solver = solver(sampler);
    let cond = || Conditioning::none().with("label", Tensor::full([1], -1, (Kind::Int64, Device::Cpu)));
    let target = Target { run, source: Conditions::new(cond(), cond()), solver: &*solver, words: None, factor: 1 };
    drive(&net, model, method.invert().unwrap().edit(code, target)).unwrap()
}

/// What a step of DDPM draws with: `sqrt of (sigma' / sigma)^2 (1 - r)`, `r = (alpha / alpha')^2`.
fn deviation(from: &Level, to: &Level) -> f64 {
    let r = (from.alpha / to.alpha).powi(2);
    (to.sigma / from.sigma) * (1.0 - r).sqrt()
}

/// Variance `1 + 2 r sigma'^2 / (1 - r)`, and the correlation of neighbours about a half, below 0, for a point that is
/// known exactly; the figures at seven times are those of the formula. Noise that a sampler draws itself has 1 and 0.
#[test]
fn noise_maps_have_the_published_variance_and_correlation() {
    let n = 200_000;
    let model = normal(scaled(), 0.0, 1.0, n);
    let x = Tensor::full([1, 1, 1, n], 0.3, (Kind::Double, Device::Cpu));
    for (steps, known) in [
        (100, &[(991.0, 16.805), (891.0, 19.40), (491.0, 30.15), (91.0, 13.61), (11.0, 1.385)][..]),
        (50, &[(981.0, 8.61), (481.0, 15.17), (21.0, 1.186)]),
    ] {
        let grid = published(steps);
        let code = code(&model, &json!("ddpm"), &grid, &x, Some(x.shallow_clone()));
        let pairs: Vec<_> = grid.steps().collect();
        let map = |k: usize| code.state("noise", k) / deviation(&pairs[k].0, &pairs[k].1);
        for (t, variance) in known {
            let k = pairs.iter().position(|(from, _)| from.t == *t).unwrap();
            let (from, to) = &pairs[k];
            let r = (from.alpha / to.alpha).powi(2);
            let formula = 1.0 + 2.0 * r * to.sigma.powi(2) / (1.0 - r);
            assert!((formula / variance - 1.0).abs() < 1e-3, "{t}: the formula says {formula}, the figure {variance}");
            let found = map(k).square().mean(Kind::Double).double_value(&[]);
            assert!((found / variance - 1.0).abs() < 0.012, "variance at {t}: {found}, not {variance}");
        }
        let k = steps / 2;
        let (a, b) = (map(k), map(k + 1));
        let power = |x: &Tensor| x.square().mean(Kind::Double).sqrt().double_value(&[]);
        let correlation = (&a * &b).mean(Kind::Double).double_value(&[]) / (power(&a) * power(&b));
        assert!((-0.51..-0.47).contains(&correlation), "{correlation}");
    }
}

/// Whatever the network says and whatever the sampler, the same noise gives the picture back; also from a middle level,
/// and where the last step draws nothing.
#[test]
fn noise_maps_give_the_picture_back() {
    let model = exact::model(scaled(), Prediction::Epsilon);
    let process = scaled();
    let to_clean = Grid::new([published(20).levels(), &[process.clean()][..]].concat());
    let samplers = [
        json!("ddpm"),
        json!({"name": "ddpm", "variance": "large"}),
        json!({"name": "ddim", "eta": 0.5}),
        json!("euler_a"),
        json!("dpmpp_2m_sde"),
        json!("dpmpp_3m_sde"),
        json!("lcm"),
        json!("tcd"),
    ];
    for sampler in &samplers {
        for (grid, kind, bound) in [
            (published(100), Kind::Double, 1e-12),
            (published(100), Kind::Float, 1e-5),
            (to_clean.clone(), Kind::Double, 1e-12),
            (published(100).after(36).unwrap(), Kind::Double, 1e-12),
        ] {
            let x = Tensor::from_slice(&[0.9, -0.4]).view([1, 1, 1, 2]).to_kind(kind);
            let code = code(&model, sampler, &grid, &x, None);
            let back = walked(&model, (&json!("edit_friendly"), sampler), &grid, &code, &x);
            let error = apart(&back, &x);
            assert!(error < bound, "{sampler} in {kind:?} over {} steps: {error:e}", grid.len());
        }
    }
}

/// Asking about all levels at once is asking about one after the other with each step's end as the next one's start.
#[test]
fn levels_asked_together_give_the_noise_of_those_asked_in_order() {
    let model = exact::model(scaled(), Prediction::Epsilon);
    let grid = published(50);
    let x = Tensor::from_slice(&[0.9, -0.4]).view([1, 1, 1, 2]).to_kind(Kind::Double);
    let code = code(&model, &json!("ddpm"), &grid, &x, None);
    let net = Net::default();
    let run = exact::run(&model, &net, &grid, &x, &[7]);
    let mut here = code.get("start").shallow_clone();
    for (k, (from, to)) in grid.steps().enumerate() {
        let estimate = drive(&net, &model, run.denoiser.denoise(&here, &from)).unwrap();
        let b = deviation(&from, &to);
        let mean = &estimate.x0 * to.alpha + &estimate.eps * (to.sigma.powi(2) - b * b).max(0.0).sqrt();
        let end = match k + 1 < grid.len() {
            true => {
                let next = grid.levels()[k + 1];
                &x * next.alpha + run.noise.anew(u32::try_from(k + 1).unwrap()) * next.sigma
            }
            false => x.shallow_clone(),
        };
        let term = &end - &mean;
        assert!(apart(&term, &code.state("noise", k)) < 1e-6, "step {k}");
        here = mean + term;
    }
}

/// A model that treats every pixel alike moves the picture where its noise is moved.
#[test]
fn moved_noise_maps_move_the_picture() {
    let model = normal(scaled(), 0.1, 0.6, 12);
    let grid = published(30);
    let x = Tensor::linspace(-1.0, 1.0, 12, (Kind::Double, Device::Cpu)).view([1, 1, 3, 4]);
    let code = code(&model, &json!("ddpm"), &grid, &x, None);
    let moved = json!({"name": "edit_friendly", "shift": [1, 2]});
    let back = walked(&model, (&moved, &json!("ddpm")), &grid, &code, &x);
    assert!(apart(&back, &x.roll([2, 1], [-2, -1])) < 1e-12);
}

/// The more of the noisy steps are left out, the nearer an edit stays: `N(0.5, s^2)` to `N(-1, s^2)`.
#[test]
fn skipping_more_changes_less() {
    let (source, target) = (normal(scaled(), 0.5, 0.3, 4), normal(scaled(), -1.0, 0.3, 4));
    let x = Tensor::linspace(0.2, 0.8, 4, (Kind::Double, Device::Cpu)).view([1, 1, 1, 4]);
    let moved = |skip: usize| {
        let grid = published(50).after(skip).unwrap();
        let code = code(&source, &json!("ddpm"), &grid, &x, None);
        (walked(&target, (&json!("edit_friendly"), &json!("ddpm")), &grid, &code, &x) - &x)
            .abs()
            .mean(Kind::Double)
            .double_value(&[])
    };
    let moves: Vec<_> = [0, 10, 20, 30, 40, 49].map(moved).into();
    assert!(moves.is_sorted_by(|a, b| a > b), "{moves:?}");
    assert!(moves[0] > 1.0 && moves[5] < 0.2, "{moves:?}");
}

/// Both labels of one model: component means, each of deviation `std`.
fn two(means: [f64; 2], std: f64) -> Gaussian {
    let mixture = darkroom::model::gaussian::Mixture {
        means: Tensor::from_slice(&means).view([2, 1]),
        stds: vec![std, std],
        weights: vec![0.5, 0.5],
        labels: vec![0, 1],
    };
    around(scaled(), Prediction::Epsilon, mixture, darkroom::model::gaussian::degraded)
}

fn infedited(model: &Gaussian, sampler: &Value, grid: &Grid, x: &Tensor, labels: [i64; 2]) -> Tensor {
    let (n, net) = (x.size()[0], Net::default());
    let seeds: Vec<u64> = (0..n as u64).collect();
    let mut run: Run = exact::run(model, &net, grid, x, &seeds);
    run.noise = Noise::new(seeds, &x.size()[1..], x.kind(), Device::Cpu);
    let label = |label: i64| Conditioning::none().with("label", Tensor::full([n], label, (Kind::Int64, Device::Cpu)));
    run.denoiser.network.conditions = Conditions::new(label(labels[1]), label(-1));
    let method = edit::read(&json!("infedit")).unwrap();
    let invert = method.invert().unwrap();
    let solver = solver(sampler);
    let code = Code::of("picture", x.shallow_clone());
    let target =
        Target { run, source: Conditions::new(label(labels[0]), label(-1)), solver: &*solver, words: None, factor: 1 };
    drive(&net, model, invert.edit(&code, target)).unwrap()
}

fn latent(n: usize) -> Grid {
    let process = scaled();
    let picks = (0..n).map(|k| 999 - 20 * (50 * k / n));
    Grid::new(picks.map(|t| process.at(t as f64)).chain([process.clean()]).collect())
}

#[test]
fn infedit_is_the_identity_between_equal_prompts() {
    let model = two([0.5, -1.0], 0.5);
    let x = Tensor::linspace(-1.0, 1.0, 8, (Kind::Double, Device::Cpu)).view([8, 1, 1, 1]);
    for sampler in [json!("lcm"), json!("ddim"), json!("ddpm"), json!("dpmpp_2m"), json!("heun")] {
        for n in [1, 4, 12] {
            let error = apart(&infedited(&model, &sampler, &latent(n), &x, [0, 0]), &x);
            // The boundary condition of `lcm` keeps a share of the state.
            let bound = if sampler == "lcm" { 1e-6 } else { 1e-9 };
            assert!(error < bound, "{sampler} in {n}: {error:e}");
        }
    }
}

/// Between normal data of one variance the picture moves by the difference of the means, but for the product of
/// `alpha^2 v / (alpha^2 v + sigma^2)`; between points by all of it in one step.
#[test]
fn infedit_moves_by_the_difference_of_the_means() {
    let x = Tensor::linspace(-1.0, 1.0, 8, (Kind::Double, Device::Cpu)).view([8, 1, 1, 1]);
    let model = two([0.5, -1.0], 0.5);
    for (n, shift) in [(1, -1.498246), (2, -1.499_846_3), (4, -1.499_999_3), (12, -1.5)] {
        let moved = infedited(&model, &json!("lcm"), &latent(n), &x, [0, 1]) - &x;
        let left: f64 = latent(n)
            .steps()
            .map(|(level, _)| level.alpha.powi(2) * 0.25 / (level.alpha.powi(2) * 0.25 + level.sigma.powi(2)))
            .product();
        let (mean, spread) = (moved.mean(Kind::Double).double_value(&[]), moved.std(true).double_value(&[]));
        assert!((mean + 1.5 * (1.0 - left)).abs() < 1e-5 && spread < 1e-5, "{n}: {mean} {spread}");
        assert!((mean - shift).abs() < 2e-5, "{n}: {mean}, published {shift}");
    }
    let points = two([0.2, -0.7], 1e-4);
    let moved = infedited(&points, &json!("lcm"), &latent(1), &x, [0, 1]) - &x;
    assert!(apart(&moved, &moved.full_like(-0.9)) < 1e-5, "{moved}");
}
