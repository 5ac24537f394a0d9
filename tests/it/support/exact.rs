//! A solver driven over the exact model, without an engine: what every numerical claim is tested on.

use std::{
    future::Future,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use darkroom::{
    ask::{Answer, Ask, Conditioning, Letter, Net, Reply, Rows, Stage, Want},
    denoiser::{Conditions, Coordinates, Denoiser, Network, Prediction},
    error::Result,
    guidance::{GUIDANCES, Guidance},
    model::{
        Batch, Card, Losses, Model, Tapped,
        gaussian::{Gaussian, Mixture, card_of, degraded},
    },
    noise::Noise,
    process::{Grid, Level, Process},
    registry::find,
    sampler::{AnySolver, Run, SAMPLERS},
    wrapper::Stack,
};
use futures_util::task::noop_waker_ref;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

/// Answers a run's questions one by one until it ends.
pub fn drive<T>(net: &Net, model: &dyn Model, run: impl Future<Output = T>) -> T {
    drive_of(net, |_| model, run)
}

/// The same with several models, by their ids.
pub fn drive_of<'a, T>(net: &Net, model: impl Fn(&str) -> &'a dyn Model, run: impl Future<Output = T>) -> T {
    let mut run = Box::pin(run);
    loop {
        if let Poll::Ready(end) = run.as_mut().poll(&mut Context::from_waker(noop_waker_ref())) {
            return end;
        }
        for (ticket, letter) in net.take() {
            let reply = match letter {
                Letter::Ask(ask) => answered(model(&ask.model), ask).map(Reply::Answer),
                Letter::Read(tensor) => Ok(Reply::Read(tensor)),
            };
            net.reply(ticket, reply);
        }
    }
}

fn answered(model: &dyn Model, ask: Ask) -> Result<Answer> {
    let all = 0..ask.x.size()[0];
    let taps = ask.tap.map(|tap| Tapped { rows: all.clone(), tap }).into_iter().collect();
    let batch = Batch { x: ask.x, t: ask.t, cond: ask.cond, skip: ask.skip, taps };
    match ask.want {
        Want::Output => model.forward(ask.stage, &batch),
        Want::Gradient { loss, wrt } => model.gradient(ask.stage, &batch, &Losses { wrt, of: vec![(all, loss)] }),
    }
}

/// The exact model in two dimensions over three components, of which the first two have the label 0.
pub fn model(process: Arc<dyn Process>, prediction: Prediction) -> Gaussian {
    let mixture = Mixture {
        means: Tensor::from_slice(&[1.2, -0.4, -0.9, 0.8, 0.1, -1.5]).view([3, 2]),
        stds: vec![0.4, 0.6, 0.5],
        weights: vec![0.5, 0.3, 0.2],
        labels: vec![0, 0, 1],
    };
    of(process, prediction, mixture)
}

/// The exact model over `N(mean, std^2)`, independent in each of d dimensions.
pub fn normal(process: Arc<dyn Process>, mean: f64, std: f64, d: i64) -> Gaussian {
    let means = Tensor::full([1, d], mean, (Kind::Double, Device::Cpu));
    let mixture = Mixture { means, stds: vec![std], weights: vec![1.0], labels: vec![0] };
    of(process, Prediction::Epsilon, mixture)
}

/// The model whose mixture in the solver's variables this is, so that every process poses the solvers the same problem.
fn of(process: Arc<dyn Process>, prediction: Prediction, states: Mixture) -> Gaussian {
    let scale = process.change(&process.clean()).scale;
    let d = states.means.size()[1];
    let scaled = &states.means * scale;
    let means = if process.restores() { scaled + double(&degraded([1, 1, d])) } else { scaled };
    let stds = states.stds.iter().map(|std| std * scale).collect();
    around(process, prediction, Mixture { means, stds, ..states }, degraded)
}

/// The exact model over these pictures `[K, d]`, of which restoring processes see the degraded form `mu`.
pub fn around(
    process: Arc<dyn Process>,
    prediction: Prediction,
    pictures: Mixture,
    mu: fn([i64; 3]) -> Vec<f32>,
) -> Gaussian {
    let card = card_of([1, 1, pictures.means.size()[1]], process, prediction, b"test");
    let card = Card { degraded: card.degraded.and(Some(mu)), ..card };
    Gaussian::new(Arc::new(card), Device::Cpu).with(pictures)
}

fn double(values: &[f32]) -> Tensor {
    Tensor::from_slice(values).to_kind(Kind::Double)
}

/// An exact model that says a variance beside its prediction: the share that a function of the time gives, -1..1.
pub struct Saying<F> {
    /// The model.
    pub exact: Gaussian,
    /// How far the log variance is from the least to the greatest.
    pub share: F,
}

impl<F: Fn(f64) -> f64> Model for Saying<F> {
    fn card(&self) -> &Arc<Card> {
        self.exact.card()
    }

    fn forward(&self, stage: Stage, batch: &Batch) -> Result<Answer> {
        let output = self.exact.forward(stage, batch)?.output;
        let share = output.full_like((self.share)(batch.t[0]));
        Ok(Answer::of(Tensor::cat(&[output, share], 1)))
    }
}

/// A solver by its name and options, as a request gives them.
pub fn solver(value: &Value) -> Box<dyn AnySolver> {
    let (sampler, options) = find(value, SAMPLERS, |sampler| &sampler.entry).unwrap();
    sampler.entry.read(options).unwrap()
}

/// A guidance by its name and options.
pub fn guidance(value: &Value) -> Box<dyn Guidance> {
    let (kind, options) = find(value, GUIDANCES, |kind| &kind.entry).unwrap();
    kind.entry.read(options).unwrap()
}

/// A grid uniform in lambda.
pub fn uniform_lambda(process: &dyn Process, from: f64, to: f64, steps: usize) -> Grid {
    let lambda = |k: usize| from + (to - from) * k as f64 / steps as f64;
    Grid::new((0..=steps).map(|k| process.at_lambda(lambda(k))).collect())
}

/// The change of variables around a model's own degraded picture, and that picture `[1, 1, 1, d]` in f64.
pub fn coordinates(model: &dyn Model) -> (Coordinates, Option<Tensor>) {
    let card = model.card();
    let mu = || card.mu(card.latent, Device::Cpu).map(|mu| mu.to_kind(Kind::Double));
    (Coordinates::new(card.process.clone(), mu()), mu())
}

/// The state that a solver ends in, from `x` `[n, 1, 1, d]` at the grid's first level, unguided and without a label.
pub fn sample(model: &dyn Model, solver: Box<dyn AnySolver>, grid: &Grid, x: &Tensor, seeds: &[u64]) -> Tensor {
    finish(model, solver, run(model, &Net::default(), grid, x, seeds))
}

/// The run of a solver over a model, about to start.
pub fn run(model: &dyn Model, net: &Net, grid: &Grid, x: &Tensor, seeds: &[u64]) -> Run {
    let (coordinates, mu) = coordinates(model);
    let cond = || {
        let label = Conditioning::none().with("label", Tensor::full([x.size()[0]], -1, (Kind::Int64, Device::Cpu)));
        match &mu {
            Some(mu) => label.with("concat", mu.expand(x.size(), false)),
            None => label,
        }
    };
    let card = model.card();
    let (coordinates, conditions) = (Rc::new(coordinates), Conditions::new(cond(), cond()));
    let denoiser = Denoiser {
        net: net.clone(),
        network: Network { model: card.id.clone(), prediction: card.prediction, coordinates, conditions },
        stitches: Vec::new(),
        guidance: guidance(&json!("none")).into(),
        corrections: Vec::new(),
        threshold: None,
        anchor: None,
        grid: grid.clone(),
        tap: None,
        lanes: 1,
        pictures: seeds.len(),
        rows: Rows { first: 0, of: seeds.len() },
    };
    let noise = Noise::new(seeds.to_vec(), &x.size()[1..], x.kind(), Device::Cpu);
    let (process, x) = (card.process.clone(), x.shallow_clone());
    Run { denoiser, noise, process, grid: grid.clone(), x, warm: Vec::new(), hooks: Vec::new() }
}

/// The state that a solver ends in.
pub fn finish(model: &dyn Model, solver: Box<dyn AnySolver>, run: Run) -> Tensor {
    let net = run.denoiser.net.clone();
    drive(&net, model, solver.sample(run)).unwrap()
}

/// The state that a sampler with wrappers ends in.
pub fn sample_wrapped(model: &Gaussian, value: &Value, grid: &Grid, x: &Tensor, seeds: &[u64]) -> Tensor {
    let net = Net::default();
    let mut run = run(model, &net, grid, x, seeds);
    let Stack { solver, wrappers, .. } = Stack::read(value).unwrap();
    let whole = async move {
        for wrapper in &wrappers {
            wrapper.apply(&mut run, None).await?;
        }
        solver.sample(run).await
    };
    drive(&net, model, whole).unwrap()
}

/// The exact state at `to` of the path `dy/ds = eps`, `y = x / alpha`, `s = sigma / alpha`, from `x` `[n, 1, 1, d]` at
/// `from`: the classical Runge-Kutta method in `ln s`, whose error at 1000 steps is below 1e-10 here.
pub fn path(model: &Gaussian, x: &Tensor, from: &Level, to: &Level) -> Tensor {
    let n = x.size()[0];
    let mixture = in_states(model);
    let slope = |y: &Tensor, log: f64| {
        // x0 of a variance-exploding picture: alpha 1, sigma s; d y / d ln s = s eps = y - x0.
        let column = |value: f64| Tensor::full([n, 1], value, (Kind::Double, Device::Cpu));
        let unlabelled = Tensor::full([n], -1, (Kind::Int64, Device::Cpu));
        y - mixture.denoise(y, &column(1.0), &column(log.exp()), &unlabelled)
    };
    let steps = 1000;
    let (mut log, end) = (from.ratio().ln(), to.ratio().ln());
    let h = (end - log) / f64::from(steps);
    let mut y = x.view([n, -1]) / from.alpha;
    for _ in 0..steps {
        let k1 = slope(&y, log);
        let k2 = slope(&(&y + &k1 * (h / 2.0)), log + h / 2.0);
        let k3 = slope(&(&y + &k2 * (h / 2.0)), log + h / 2.0);
        let k4 = slope(&(&y + &k3 * h), log + h);
        y = y + (k1 + (k2 + k3) * 2.0 + k4) * (h / 6.0);
        log += h;
    }
    (y * to.alpha).view(&x.size()[..])
}

/// The model's mixture in the solver's variables, `(x0 - mu) / scale`.
pub fn in_states(model: &Gaussian) -> Mixture {
    let card = model.card();
    let mixture = model.mixture(card.latent[2]);
    let scale = card.process.change(&card.process.clean()).scale;
    let means = match coordinates(model).1 {
        Some(mu) => &mixture.means - mu.view([1, -1]),
        None => mixture.means.shallow_clone(),
    };
    Mixture {
        means: means / scale,
        stds: mixture.stds.iter().map(|std| std / scale).collect(),
        weights: mixture.weights.clone(),
        labels: mixture.labels.clone(),
    }
}

/// Largest absolute difference.
pub fn apart(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}
