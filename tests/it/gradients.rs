//! Gradients of losses through the networks.

use std::{cell::RefCell, rc::Rc, time::Duration};

use darkroom::{
    ask::{Answer, Ask, Conditioning, Loss, Site, Stage, Tap, Want, Wrt},
    config::{Config, Switch},
    denoiser::Prediction,
    engine::{batch::Shares, failure::Piece, rows::bucket},
    error::Result,
    model::{Batch, Losses, Model},
    process::Named,
};
use tch::{Device, Kind, Tensor};

use crate::support::{
    exact::{apart, model},
    networks::{ask, context, emoji64, host, in_pieces, together},
};

/// The sum of squares of each row, in f64.
fn squares(output: &Tensor) -> Tensor {
    let flat = output.to_kind(Kind::Double).view([output.size()[0], -1]);
    flat.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Double)
}

fn wanting(ask: Ask, wrt: Wrt, loss: impl Fn(&Tensor) -> Tensor + 'static) -> Ask {
    Ask { want: Want::Gradient { loss: Rc::new(loss), wrt }, ..ask }
}

fn copies(answer: Result<Answer>) -> (Tensor, Tensor) {
    let answer = answer.unwrap();
    (answer.output.copy(), answer.gradient.unwrap().copy())
}

fn scalar(tensor: &Tensor) -> f64 {
    tensor.sum(Kind::Double).double_value(&[])
}

fn of(n: i64, wrt: Wrt, loss: impl Fn(&Tensor) -> Tensor + 'static) -> Losses {
    Losses { wrt, of: vec![(0..n, Rc::new(loss) as Loss)] }
}

#[test]
fn the_exact_models_gradient_is_that_of_differences() {
    let process = Named::ScaledLinear.process();
    for prediction in [Prediction::Epsilon, Prediction::VPrediction, Prediction::Sample] {
        let model = model(process.clone(), prediction);
        let x = Tensor::from_slice(&[0.9, -0.4, -1.1, 0.3, 0.2, 1.3]).view([3, 1, 1, 2]);
        let label = Tensor::from_slice(&[0i64, 1, -1]);
        let batch = |x: &Tensor| Batch {
            t: vec![100.0, 500.0, 900.0],
            cond: Conditioning::none().with("label", label.shallow_clone()),
            ..Batch::of(x.shallow_clone())
        };
        let answer = model.gradient(Stage::Predict, &batch(&x), &of(3, Wrt::X, squares)).unwrap();
        let gradient = answer.gradient.unwrap();
        assert_eq!((gradient.kind(), gradient.size()), (Kind::Double, x.size()));
        assert_eq!(answer.output, model.forward(Stage::Predict, &batch(&x)).unwrap().output);
        let loss = |x: &Tensor| scalar(&squares(&model.forward(Stage::Predict, &batch(x)).unwrap().output));
        for k in 0..6 {
            let mut step = vec![0.0; 6];
            step[k] = 1e-5;
            let step = Tensor::from_slice(&step).view_as(&x);
            let slope = (loss(&(&x + &step)) - loss(&(&x - &step))) / 2e-5;
            let found = gradient.view(-1).double_value(&[k as i64]);
            assert!((slope - found).abs() < 1e-6 * slope.abs().max(1.0), "{prediction:?} {k}: {slope} {found}");
        }
    }
}

/// The slope of a loss of `changed` along a direction, by differences.
fn slope(tensor: &Tensor, direction: &Tensor, step: f64, loss: impl Fn(&Tensor) -> f64) -> f64 {
    let moved = |by: f64| loss(&(tensor + direction * by));
    (moved(step) - moved(-step)) / (2.0 * step)
}

fn directed(like: &Tensor) -> Tensor {
    let numel = i64::try_from(like.numel()).unwrap();
    (Tensor::arange(numel, (Kind::Float, Device::Cpu)) * 1.7).sin().view_as(like)
}

/// In the text and in the rows, against differences along one direction.
#[test]
fn a_real_networks_gradient_is_that_of_differences() {
    let model = emoji64(Kind::Float);
    let text = context(model.as_ref(), &["a red heart, twemoji style", "snail, fluent style"]);
    let ask = ask(model.as_ref(), &text, 1);
    let batch = |x: &Tensor, text: &Tensor| Batch {
        t: ask.t.clone(),
        cond: Conditioning::none().with("context", text.shallow_clone()),
        ..Batch::of(x.shallow_clone())
    };
    let loss = |x: &Tensor, text: &Tensor| scalar(&squares(&model.forward(ask.stage, &batch(x, text)).unwrap().output));
    let gradient = |wrt| {
        let answer = model.gradient(ask.stage, &batch(&ask.x, &text), &of(2, wrt, squares)).unwrap();
        assert_eq!(answer.output, model.forward(ask.stage, &batch(&ask.x, &text)).unwrap().output);
        assert!(!answer.output.requires_grad());
        answer.gradient.unwrap()
    };
    let cases = [
        (Wrt::Cond("context"), &text, slope(&text, &directed(&text), 2e-3, |text| loss(&ask.x, text))),
        (Wrt::X, &ask.x, slope(&ask.x, &directed(&ask.x), 2e-3, |x| loss(x, &text))),
    ];
    for (wrt, of, expected) in cases {
        let gradient = gradient(wrt);
        assert_eq!((gradient.kind(), gradient.size()), (Kind::Float, of.size()));
        let found = scalar(&(gradient * directed(of)));
        println!("{wrt:?}: {expected} {found}");
        assert!((found - expected).abs() < 1e-2 * expected.abs(), "{wrt:?}: {expected} {found}");
    }
}

#[test]
fn networks_in_narrow_numbers_give_gradients_in_wide_ones() {
    let [wide, narrow] = [Kind::Float, Kind::BFloat16].map(|kind| {
        let model = emoji64(kind);
        let asked = ask(model.as_ref(), &context(model.as_ref(), &["sun"]), 1);
        let batch = Batch { t: asked.t, cond: asked.cond, ..Batch::of(asked.x) };
        model.gradient(Stage::Predict, &batch, &of(1, Wrt::X, squares)).unwrap().gradient.unwrap()
    });
    assert_eq!((narrow.kind(), narrow.size()), (Kind::Float, wide.size()));
    let apart = scalar(&(&wide - &narrow).square()).sqrt() / scalar(&wide.square()).sqrt();
    assert!(apart > 0.0 && apart < 0.1, "{apart}");
}

#[test]
fn asks_that_share_a_forward_have_each_their_own_gradient() {
    for strict in [Switch::Off, Switch::On] {
        let host = host(emoji64(Kind::Float), strict);
        let model = emoji64(Kind::Float);
        let text = context(model.as_ref(), &["pizza", "sun", "snail"]);
        let own = |seed| ask(model.as_ref(), &text, seed);
        let plain = wanting(own(1), Wrt::Cond("context"), squares);
        let other = wanting(own(9), Wrt::Cond("context"), |output| squares(&(output - 0.3)) * 2.0);
        let company: Vec<_> = together(&host, &[&plain, &other]).into_iter().map(copies).collect();
        for (ask, (output, gradient)) in [&plain, &other].into_iter().zip(company) {
            let (same, alone) = copies(together(&host, &[ask]).remove(0));
            assert!(apart(&same, &output) < 1e-4);
            assert!(apart(&alone, &gradient) < 1e-4 * alone.abs().max().double_value(&[]));
            // In pieces, as where rows are spread over forwards.
            let piece = |from, rows| Piece { id: 0, from, rows, together: false };
            let parts = [piece(0, 1), piece(1, 2)].map(|piece| copies(in_pieces(&host, &[ask], &[piece]).remove(0)).1);
            assert!(apart(&Tensor::cat(&parts, 0), &alone) < 1e-4 * alone.abs().max().double_value(&[]));
        }
    }
}

#[test]
fn plain_forwards_keep_no_graph_afterwards() {
    let host = host(emoji64(Kind::Float), Switch::Off);
    let model = emoji64(Kind::Float);
    let plain = ask(model.as_ref(), &context(model.as_ref(), &["sun"]), 1);
    let wanted = wanting(ask(model.as_ref(), &context(model.as_ref(), &["sun"]), 1), Wrt::X, squares);
    let (output, gradient) = copies(together(&host, &[&wanted]).remove(0));
    assert!(!output.requires_grad() && !gradient.requires_grad() && !wanted.x.requires_grad());
    let answer = together(&host, &[&plain]).remove(0).unwrap();
    assert!(!answer.output.requires_grad() && answer.gradient.is_none());
}

/// Whether torch would keep a graph now.
fn keeps_graph() -> bool {
    (Tensor::ones([1], (Kind::Float, Device::Cpu)).set_requires_grad(true) * 2.0).requires_grad()
}

#[test]
fn a_loss_that_panics_fails_alone_and_leaves_no_graph() {
    let _as_on_an_engine_thread = tch::no_grad_guard();
    let host = host(emoji64(Kind::Float), Switch::Off);
    let model = emoji64(Kind::Float);
    let text = context(model.as_ref(), &["sun"]);
    let good = wanting(ask(model.as_ref(), &text, 1), Wrt::X, |output| {
        assert!(output.requires_grad());
        squares(output)
    });
    let bad = wanting(ask(model.as_ref(), &text, 2), Wrt::X, |_| panic!("no such loss"));
    let answers = together(&host, &[&bad, &good]);
    let failure = answers[0].as_ref().unwrap_err().to_string();
    assert!(failure.contains("no such loss"), "{failure}");
    assert!(answers[1].as_ref().unwrap().gradient.is_some());
    assert!(!keeps_graph());
    let constant = wanting(ask(model.as_ref(), &text, 2), Wrt::X, |output| Tensor::ones_like(output).detach());
    assert_eq!(scalar(&copies(together(&host, &[&constant]).remove(0)).1.abs()), 0.0);
}

#[test]
fn a_gradient_needs_something_to_be_taken_in() {
    let model = model(Named::ScaledLinear.process(), Prediction::Epsilon);
    let label = Tensor::from_slice(&[0i64]);
    let x = Tensor::zeros([1, 1, 1, 2], (Kind::Double, Device::Cpu));
    let batch = Batch { t: vec![500.0], cond: Conditioning::none().with("label", label), ..Batch::of(x) };
    for (name, word) in [("context", "context"), ("label", "whole numbers")] {
        let error = model.gradient(Stage::Predict, &batch, &of(1, Wrt::Cond(name), squares)).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

/// How much the text's second token is looked at.
#[derive(Default)]
struct Looks(RefCell<Option<Tensor>>);

impl Tap for Looks {
    fn attention(&self, site: Site, [q, k, _]: [&Tensor; 3]) -> Option<Tensor> {
        if site.cross && site.block == "mid_block" {
            let scores = q.matmul(&k.transpose(-2, -1)) / (q.size()[3] as f64).sqrt();
            let seen = scores.softmax(-1, Kind::Float).narrow(3, 1, 1).mean_dim([1i64, 2, 3].as_slice(), false, None);
            self.0.replace(Some(seen));
        }
        None
    }
}

/// As Attend-and-Excite needs it (Chefer et al. 2023).
#[test]
fn a_loss_may_be_of_what_a_tap_has_seen() {
    let host = host(emoji64(Kind::Float), Switch::Off);
    let model = emoji64(Kind::Float);
    let text = context(model.as_ref(), &["a red heart, twemoji style"]);
    let looks = Rc::new(Looks::default());
    let seen = looks.clone();
    let loss = move |_: &Tensor| seen.0.take().unwrap();
    let plain = ask(model.as_ref(), &text, 1);
    let x = plain.x.shallow_clone();
    let wanted = Ask { tap: Some(looks.clone()), ..wanting(plain, Wrt::X, loss) };
    let (_, gradient) = copies(together(&host, &[&wanted]).remove(0));
    let direction = gradient.sign();
    let expected = slope(&x, &direction, 2e-3, |x| {
        let moved = Ask { tap: Some(looks.clone()), x: x.shallow_clone(), ..ask(model.as_ref(), &text, 1) };
        together(&host, &[&moved]).remove(0).unwrap();
        scalar(&looks.0.take().unwrap())
    });
    let found = scalar(&(gradient * direction));
    assert!(found > 0.0 && (found - expected).abs() < 2e-2 * expected, "{expected} {found}");
}

#[test]
fn what_gradients_cost_is_measured_apart() {
    let mut host = host(emoji64(Kind::Float), Switch::Off);
    let model = emoji64(Kind::Float);
    let own = || ask(model.as_ref(), &context(model.as_ref(), &["sun"]), 1);
    let (plain, wanted) = (bucket(&own()), bucket(&wanting(own(), Wrt::X, squares)));
    assert_ne!(plain, wanted);
    assert_ne!(wanted, bucket(&wanting(own(), Wrt::Cond("context"), squares)));
    let mut config = Config::for_testing().engine;
    (config.tick_ms, config.max_rows) = (800, 16);
    let (native, cap) = (host.measured(), host.cap(&plain, &config));
    assert_eq!(host.cap(&wanted, &config), 1);
    (0..3).for_each(|_| host.note(&wanted, 1, Duration::from_millis(90)));
    assert_eq!(host.cap(&wanted, &config), 8);
    assert_eq!((host.measured(), host.cap(&plain, &config)), (native, cap));
}

#[test]
fn one_gradient_at_most_goes_between_two_plain_forwards() {
    let is_gradient = |key: &&str| key.starts_with('g');
    let mut shares = Shares::default();
    let mut last = "";
    for _ in 0..50 {
        let key = shares.next(&["g1", "g2", "plain"], is_gradient).unwrap();
        assert!(!(is_gradient(&key) && is_gradient(&last)), "{last} then {key}");
        // A plain forward that costs far more than both gradients together.
        shares.spend(&key, if is_gradient(&key) { 0.1 } else { 1.0 });
        last = key;
    }
    let alone: Vec<_> = (0..2).map(|_| shares.next(&["g1"], is_gradient)).collect();
    assert_eq!(alone, [Some("g1"); 2]);
}
