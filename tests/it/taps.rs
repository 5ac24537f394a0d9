//! What runs see and change inside a forward of their rows.

use std::{cell::RefCell, rc::Rc};

use darkroom::{
    ask::{Ask, Site, Tap},
    config::Switch,
    model::{Batch, Model, Tapped, nn::unet_config::UnetConfig},
};
use tch::{Kind, Tensor};

use crate::{
    folders::{root, tiny},
    support::{
        exact::apart,
        networks::{ask, built, context, emoji64, host, together},
    },
};

const PROMPTS: [&str; 2] = ["a red heart, twemoji style", "snail, fluent style"];

/// `softmax(q k^T / sqrt d) v`, operator by operator.
fn explicit([q, k, v]: [&Tensor; 3]) -> Tensor {
    let scores = q.matmul(&k.transpose(-2, -1)) / (q.size()[3] as f64).sqrt();
    scores.softmax(-1, q.kind()).matmul(v)
}

fn written(_: Site, qkv: [&Tensor; 3]) -> Option<Tensor> {
    Some(explicit(qkv))
}

/// A tap that answers by a function.
struct Answers<F>(F);

impl<F: Fn(Site, [&Tensor; 3]) -> Option<Tensor>> Tap for Answers<F> {
    fn attention(&self, site: Site, qkv: [&Tensor; 3]) -> Option<Tensor> {
        (self.0)(site, qkv)
    }
}

/// A tap that writes down what it is shown and changes nothing.
#[derive(Default)]
struct Notes(RefCell<Vec<String>>, RefCell<Vec<Kind>>);

impl Tap for Notes {
    fn attention(&self, site: Site, [q, k, v]: [&Tensor; 3]) -> Option<Tensor> {
        assert_eq!((k.size(), [q.kind(), v.kind()]), (v.size(), [k.kind(); 2]));
        self.1.borrow_mut().push(q.kind());
        let Site { block, layer, depth, cross } = site;
        let (q, k) = (q.size(), k.size());
        self.0.borrow_mut().push(format!("{block}.{layer}.{depth} {cross} {q:?} {k:?}"));
        None
    }

    fn feature(&self, block: &str, x: &Tensor) {
        self.0.borrow_mut().push(format!("{block} {:?}", x.size()));
    }
}

fn tapped(ask: Ask, tap: impl Tap + 'static) -> Ask {
    Ask { tap: Some(Rc::new(tap)), ..ask }
}

/// The same rows in 16 by 16 latents, whatever the model's own size.
fn small(ask: Ask) -> Ask {
    Ask { x: ask.x.narrow(2, 0, 16).narrow(3, 0, 16), ..ask }
}

/// Rows of one ask under a tap.
fn predict(model: &dyn Model, ask: &Ask, tap: Option<Rc<dyn Tap>>) -> Tensor {
    let all = 0..ask.x.size()[0];
    let taps = tap.map(|tap| Tapped { rows: all, tap }).into_iter().collect();
    let batch = Batch { t: ask.t.clone(), cond: ask.cond.clone(), taps, ..Batch::of(ask.x.shallow_clone()) };
    model.forward(ask.stage, &batch).unwrap().output
}

#[test]
fn the_networks_own_attention_written_out_gives_the_same() {
    let model = emoji64(Kind::Float);
    let ask = ask(model.as_ref(), &context(model.as_ref(), &PROMPTS), 1);
    let plain = predict(model.as_ref(), &ask, None);
    let other = predict(model.as_ref(), &ask, Some(Rc::new(Answers(written))));
    let apart = apart(&plain, &other);
    assert!(apart > 0.0 && apart < 1e-4, "{apart}");
}

#[test]
fn a_tap_that_leaves_everything_changes_no_bit() {
    let model = emoji64(Kind::Float);
    let ask = ask(model.as_ref(), &context(model.as_ref(), &PROMPTS), 1);
    let notes = Rc::new(Notes::default());
    assert_eq!(predict(model.as_ref(), &ask, None), predict(model.as_ref(), &ask, Some(notes.clone())));
    assert!(notes.1.borrow().iter().all(|kind| *kind == Kind::Float));
}

/// What a tap on n rows is shown, in order, of latents with `side` rows and columns and a text of l tokens.
fn shown(config: &UnetConfig, n: i64, side: i64, l: i64) -> Vec<String> {
    let mut all = Vec::new();
    let last = config.widths.len() - 1;
    let attentions = |block: &str, layer: i64, at: usize| {
        let (width, heads, side) = (config.widths[at], config.heads[at], side >> at);
        let q = [n, heads, side * side, width / heads];
        let sites = (0..config.depths[at]).flat_map(move |depth| [(depth, false, q[2]), (depth, true, l)]);
        let named = sites.map(|(depth, cross, m)| {
            format!("{block}.{layer}.{depth} {cross} {q:?} {:?}", [n, heads, m, width / heads])
        });
        named.collect::<Vec<_>>()
    };
    let feature = |name: String, at: usize, side: i64| format!("{name} {:?}", [n, config.widths[at], side, side]);
    let mut block = |name: String, at: usize, layers: i64, cross: bool, end: i64| {
        for layer in 0..layers {
            if cross {
                all.extend(attentions(&name, layer, at));
            }
            if name != "mid_block" {
                all.push(feature(format!("{name}.{layer}"), at, side >> at));
            }
        }
        all.push(feature(name, at, end));
    };
    for at in 0..=last {
        let end = side >> (at + 1).min(last);
        block(format!("down_blocks.{at}"), at, config.layers[at], config.cross_down[at], end);
    }
    block("mid_block".into(), last, 1, true, side >> last);
    for (i, at) in (0..=last).rev().enumerate() {
        let end = side >> at.saturating_sub(1);
        block(format!("up_blocks.{i}"), at, config.layers[at] + 1, config.cross_up[i], end);
    }
    all
}

#[test]
fn every_attention_and_block_is_shown_in_order() {
    let random = tiny("sd15");
    for dir in [root().join("models/emoji64"), random.path().to_owned()] {
        let model = built(&dir, Kind::Float);
        let text = context(model.as_ref(), &["a", "b"]);
        let config = UnetConfig::read(&dir.join("unet/config.json")).unwrap();
        let notes = Rc::new(Notes::default());
        let output = predict(model.as_ref(), &small(ask(model.as_ref(), &text, 1)), Some(notes.clone()));
        assert_eq!(output.size(), [2, 4, 16, 16]);
        let expected = shown(&config, 2, 16, text.size()[1]);
        assert!(expected.iter().any(|line| line.contains(" true ")) && expected.len() > 20);
        assert_eq!(*notes.0.borrow(), expected);
    }
}

/// Two rows of the same noise at the same time under two texts: with the keys and values of the first text both say the same.
#[test]
fn rows_of_an_ask_can_exchange_what_they_attend_to() {
    let model = emoji64(Kind::Float);
    let one = ask(model.as_ref(), &context(model.as_ref(), &PROMPTS), 1);
    let pair = Ask { x: one.x.narrow(0, 0, 1).repeat([2, 1, 1, 1]), t: vec![400.0; 2], ..one };
    let first = |part: &Tensor| part.narrow(0, 0, 1).expand_as(part);
    let exchange = move |site: Site, [q, k, v]: [&Tensor; 3]| site.cross.then(|| explicit([q, &first(k), &first(v)]));
    let between = |output: Tensor| apart(&output.get(0), &output.get(1));
    let (own, shared) = (
        between(predict(model.as_ref(), &pair, None)),
        between(predict(model.as_ref(), &pair, Some(Rc::new(Answers(exchange))))),
    );
    assert!(own > 0.05 && shared < 1e-4, "{own} {shared}");
}

/// Through the engine's own gathering, padding and parting, with neighbours on both sides.
#[test]
fn neighbours_keep_every_bit() {
    for strict in [Switch::Off, Switch::On] {
        let host = host(emoji64(Kind::Float), strict);
        let model = emoji64(Kind::Float);
        let text = context(model.as_ref(), &PROMPTS);
        let own = |seed| ask(model.as_ref(), &text, seed);
        let swap = |_: Site, [q, k, v]: [&Tensor; 3]| Some(explicit([q, &k.flip([0]), &v.flip([0])]));
        let (before, after) = (own(1), own(7));
        let outputs = |middle: &Ask| -> Vec<Tensor> {
            let answers = together(&host, &[&before, middle, &after]);
            answers.into_iter().map(|answer| answer.unwrap().output.copy()).collect()
        };
        let (plain, with) = (outputs(&own(3)), outputs(&tapped(own(3), Answers(swap))));
        assert_eq!((&plain[0], &plain[2]), (&with[0], &with[2]));
        assert!(apart(&plain[1], &with[1]) > 0.05);
        let alone = together(&host, &[&tapped(own(3), Answers(swap))]).remove(0).unwrap().output;
        assert!(apart(&alone, &with[1]) < 1e-4, "it is as it would be alone");
    }
}

#[test]
fn several_taps_have_each_their_own_rows() {
    let host = host(emoji64(Kind::Float), Switch::Off);
    let model = emoji64(Kind::Float);
    let text = context(model.as_ref(), &PROMPTS);
    let own = |seed, scale: f64| {
        let tap = Answers(move |_: Site, qkv: [&Tensor; 3]| Some(explicit(qkv) * scale));
        tapped(ask(model.as_ref(), &text, seed), tap)
    };
    let (weak, strong) = (own(1, 0.5), own(3, 1.5));
    let company = together(&host, &[&weak, &strong]);
    for (ask, shared) in [&weak, &strong].into_iter().zip(company) {
        let alone = together(&host, &[ask]).remove(0).unwrap().output;
        assert!(apart(&alone, &shared.unwrap().output) < 1e-4);
    }
}

/// A tap that fails fails its own ask; its neighbour's is called again, from the first layer on.
#[test]
fn a_tap_that_panics_fails_alone() {
    let host = host(emoji64(Kind::Float), Switch::Off);
    let model = emoji64(Kind::Float);
    let text = context(model.as_ref(), &PROMPTS);
    let notes = Rc::new(Notes::default());
    let good = Ask { tap: Some(notes.clone()), ..ask(model.as_ref(), &text, 1) };
    let bad = |site: Site, _: [&Tensor; 3]| -> Option<Tensor> {
        assert!(site.block != "up_blocks.1", "no further than here");
        None
    };
    let misshapen = |_: Site, [q, ..]: [&Tensor; 3]| Some(q.narrow(2, 0, 1));
    let mut faults = vec![tapped(ask(model.as_ref(), &text, 3), Answers(bad))];
    faults.push(tapped(ask(model.as_ref(), &text, 3), Answers(misshapen)));
    for bad in faults {
        notes.0.borrow_mut().clear();
        let answers = together(&host, &[&good, &bad]);
        assert!(answers[0].is_ok() && answers[1].is_err());
        let notes = notes.0.borrow();
        let start = notes.iter().rposition(|note| *note == notes[0]).unwrap();
        assert!(start > 0 && notes.last().unwrap().starts_with("up_blocks.2 "), "{notes:#?}");
    }
}

#[test]
fn attention_is_seen_in_the_number_type_it_is_computed_in() {
    let upcast = tiny("sd21");
    for (model, kind) in
        [(emoji64(Kind::BFloat16), Kind::BFloat16), (built(upcast.path(), Kind::BFloat16), Kind::Float)]
    {
        let notes = Rc::new(Notes::default());
        let ask = small(ask(model.as_ref(), &context(model.as_ref(), &["a", "b"]), 1));
        let plain = predict(model.as_ref(), &ask, None);
        assert_eq!(plain, predict(model.as_ref(), &ask, Some(notes.clone())));
        assert!(notes.1.borrow().iter().all(|seen| *seen == kind), "{:?}", notes.1);
        assert!(apart(&plain, &predict(model.as_ref(), &ask, Some(Rc::new(Answers(written))))) < 0.1);
    }
}

#[test]
fn a_tapped_ask_is_never_split() {
    let model = emoji64(Kind::Float);
    let plain = ask(model.as_ref(), &context(model.as_ref(), &PROMPTS), 1);
    assert!(!plain.is_whole() && tapped(plain, Notes::default()).is_whole());
}
