//! Inversions against what is known exactly: round trips by method, precision and options, the noise maps of DDPM, and the
//! closed forms of direct inversion and InfEdit.

use std::sync::Arc;

use darkroom::{
    ask::{Conditioning, Net, Rows},
    denoiser::{Conditions, Prediction},
    edit::{self, Code, Target},
    model::{Model, gaussian::Gaussian},
    noise::Noise,
    process::{Betas, Grid, Named, Process, Vp},
    sampler::{AnySolver, Run},
};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use crate::support::exact::{self, apart, drive, guidance, solver};

fn linear() -> Arc<dyn Process> {
    Arc::new(Vp::new(&Betas::Linear { ends: (1e-4, 0.02), steps: 1000 }))
}

fn scaled() -> Arc<dyn Process> {
    Named::ScaledLinear.process()
}

/// Training times `t` spread evenly, noisy to clean, and then the clean end.
fn times(process: &dyn Process, steps: usize) -> Grid {
    let stride = 1000 / steps;
    let levels = (0..steps).rev().map(|k| process.at((k * stride + 1) as f64));
    Grid::new(levels.chain([process.clean()]).collect())
}

/// Labels of n rows.
fn labelled(label: i64, n: i64) -> Conditions {
    let one = |label: i64| Conditioning::none().with("label", Tensor::full([n], label, (Kind::Int64, Device::Cpu)));
    Conditions::new(one(label), one(-1))
}

/// A picture and what is done to it.
struct Trial<'a> {
    model: &'a Gaussian,
    method: Value,
    sampler: Value,
    grid: Grid,
    seeds: Vec<u64>,
}

impl Trial<'_> {
    fn run(&self, x: &Tensor, label: i64, scale: f64) -> Run {
        let net = Net::default();
        let mut run = exact::run(self.model, &net, &self.grid, x, &self.seeds);
        run.denoiser.network.conditions = labelled(label, x.size()[0]);
        run.denoiser.guidance = guidance(&json!({"name": "cfg", "scale": scale})).into();
        run.denoiser.rows = Rows { first: 0, of: self.seeds.len() };
        run.noise = Noise::new(self.seeds.clone(), &x.size()[1..], x.kind(), Device::Cpu);
        run
    }

    fn solver(&self) -> Box<dyn AnySolver> {
        solver(&self.sampler)
    }

    fn code(&self, x: &Tensor, label: i64, scale: f64) -> Code {
        let (method, solver, run) = (edit::read(&self.method).unwrap(), self.solver(), self.run(x, label, scale));
        let net = run.denoiser.net.clone();
        drive(&net, self.model, method.invert().unwrap().find(run, &*solver)).unwrap()
    }

    fn edit(&self, code: &Code, x: &Tensor, (from, to): (i64, i64), scale: f64) -> Tensor {
        let (method, solver, run) = (edit::read(&self.method).unwrap(), self.solver(), self.run(x, to, scale));
        let net = run.denoiser.net.clone();
        let target = Target { run, source: labelled(from, x.size()[0]), solver: &*solver, words: None, factor: 1 };
        drive(&net, self.model, method.invert().unwrap().edit(code, target)).unwrap()
    }

    /// There and back under one label.
    fn round_trip(&self, x: &Tensor, label: i64, scale: f64) -> f64 {
        let code = self.code(x, label, scale);
        apart(&self.edit(&code, x, (label, label), scale), x)
    }
}

/// Points of the mixture's range, `[n, 1, 1, 2]`.
fn points(n: i64, kind: Kind) -> Tensor {
    let places = Tensor::linspace(-1.8, 1.8, 2 * n, (Kind::Double, Device::Cpu));
    places.view([n, 1, 1, 2]).to_kind(kind)
}

fn trial<'a>(model: &'a Gaussian, method: &str, sampler: Value, steps: usize) -> Trial<'a> {
    let grid = times(&*model.card().process, steps);
    Trial { model, method: json!({"name": method}), sampler, grid, seeds: vec![1; 64] }
}

/// The card's rule: the error is at most `C eps gamma^-(N - 1)`.
#[test]
fn bdia_comes_back_but_for_rounding() {
    let model = exact::model(linear(), Prediction::Epsilon);
    for (kind, unit) in [(Kind::Double, f64::EPSILON), (Kind::Float, f64::from(f32::EPSILON))] {
        for gamma in [1.0, 0.96, 0.92] {
            let trial = trial(&model, "bdia", json!({"name": "bdia", "gamma": gamma}), 50);
            let error = trial.round_trip(&points(64, kind), 0, 1.0);
            let bound = 200.0 * unit * f64::powi(gamma, -49);
            assert!(error <= bound, "gamma {gamma} in {kind:?}: {error:e}, at most {bound:e}");
        }
    }
    let lossy = trial(&model, "bdia", json!({"name": "bdia", "gamma": 0.5}), 50);
    assert!(lossy.round_trip(&points(64, Kind::Float), 0, 1.0) > 1.0, "a half in 50 steps is not kept by f32");
    let short = trial(&model, "bdia", json!({"name": "bdia", "gamma": 0.5}), 10);
    assert!(short.round_trip(&points(64, Kind::Double), 0, 1.0) < 1e-11);
}

#[test]
fn edict_comes_back_and_its_pair_drifts_apart_as_published() {
    let model = exact::model(scaled(), Prediction::Epsilon);
    let gap = |mix: f64| {
        let trial = trial(&model, "edict", json!({"name": "edict", "mix": mix}), 50);
        let code = trial.code(&points(64, Kind::Double), 0, 1.0);
        (code.state("pair", 0) - code.state("pair", 1)).square().mean(Kind::Double).sqrt().double_value(&[])
    };
    let gaps = [1.0, 0.97, 0.93, 0.9].map(gap);
    assert!(gaps.is_sorted(), "{gaps:?}");
    assert!(gaps[0] < 5e-3 && gaps[2] > 20.0 * gaps[0] && gaps[3] > 5.0 * gaps[2], "{gaps:?}");
    for (kind, bound) in [(Kind::Double, 1e-12), (Kind::Float, 3e-4)] {
        let trial = trial(&model, "edict", json!({"name": "edict", "mix": 0.93}), 50);
        let error = trial.round_trip(&points(64, kind), 0, 1.0);
        assert!(error <= bound, "{kind:?}: {error:e}");
    }
}

/// Guidance in both directions changes nothing of that.
#[test]
fn exact_methods_come_back_under_guidance_too() {
    let model = exact::model(scaled(), Prediction::VPrediction);
    for (method, sampler, bound) in [
        ("bdia", json!({"name": "bdia", "gamma": 0.96}), 1e-11),
        ("edict", json!({"name": "edict"}), 1e-10),
        ("edit_friendly", json!({"name": "ddpm"}), 1e-12),
    ] {
        let trial = trial(&model, method, sampler, 25);
        let error = trial.round_trip(&points(64, Kind::Double), 1, 2.5);
        assert!(error <= bound, "{method}: {error:e}");
    }
}

/// DDIM's way back drifts, less with more steps, and not at all once its fixed points are found; direct inversion never does.
#[test]
fn ddim_drifts_and_fixed_points_and_the_closed_form_do_not() {
    let model = exact::model(scaled(), Prediction::Epsilon);
    let ddim = |steps: usize, iterations: u32| {
        let mut trial = trial(&model, "ddim", json!({"name": "ddim"}), steps);
        trial.method = json!({"name": "ddim", "iterations": iterations});
        trial.round_trip(&points(64, Kind::Double), 0, 1.0)
    };
    let drift = [ddim(20, 1), ddim(50, 1), ddim(200, 1)];
    assert!(drift[0] > drift[1] && drift[1] > drift[2] && drift[2] > 1e-3, "{drift:?}");
    let found = [ddim(50, 2), ddim(50, 4), ddim(50, 12)];
    assert!(found[0] < drift[1] && found[1] < 0.2 * found[0] && found[2] < 1e-3 * drift[1], "{drift:?} {found:?}");
    let direct = trial(&model, "direct", json!({"name": "ddim"}), 20);
    for scale in [1.0, 7.5] {
        let error = direct.round_trip(&points(64, Kind::Double), 0, scale);
        assert!(error < 1e-10, "direct at guidance {scale}: {error:e}");
    }
}

/// What the closed form says is what guidance from the noise that null-text inversion looks for says:
/// `e_null = (e* - w e_source) / (1 - w)`, `e = e_null + w (e_wish - e_null)`.
#[test]
fn the_closed_form_is_that_of_the_null_noise() {
    let model = exact::model(scaled(), Prediction::Epsilon);
    let trial = trial(&model, "direct", json!({"name": "ddim"}), 10);
    let (x, w) = (points(8, Kind::Double), 4.0);
    let code = trial.code(&x, 0, 1.0);
    let net = Net::default();
    let run = Trial { seeds: vec![1; 8], ..trial };
    let found = run.edit(&code, &x, (0, 1), w);
    let ask = |x: &Tensor, level: &darkroom::process::Level, label: i64| {
        let mut asking = run.run(x, label, 1.0);
        asking.denoiser.net = net.clone();
        drive(&net, &model, asking.denoiser.denoise(x, level)).unwrap().eps
    };
    let mut x = code.state("path", 0);
    for (k, (from, to)) in run.grid.steps().enumerate() {
        let (here, next) = (code.state("path", k), code.state("path", k + 1));
        let (kept, d) = (to.alpha / from.alpha, to.sigma - to.alpha / from.alpha * from.sigma);
        let needed = (next - &here * kept) / d;
        let null = (needed - ask(&here, &from, 0) * w) / (1.0 - w);
        let guided = &null + (ask(&x, &from, 1) - &null) * w;
        x = x * kept + guided * d;
    }
    assert!(apart(&found, &x) < 1e-12, "{}", apart(&found, &x));
}
