//! Attention control, on made queries, keys and values.

use darkroom::{
    ask::{Site, Tap},
    edit::attention::{CrossControl, Kind, Layout, PromptToPrompt, Record, Weight},
};
use tch::{Device, Kind as Number, Tensor};

use crate::attention_words::prompt;

/// Tokens that the embedded model reads.
pub const TOKENS: i64 = 24;
const LATENT: [i64; 2] = [16, 16];
const STEPS: usize = 10;

pub fn site(block: &str, cross: bool) -> Site<'_> {
    Site { block, layer: 0, depth: 0, cross }
}

/// Numbers that look random, `[rows, 2 heads, length, 8]`, others for each seed.
pub fn made(rows: i64, length: i64, seed: f64) -> Tensor {
    let numbers = Tensor::arange(rows * 2 * length * 8, (Number::Double, Device::Cpu));
    ((numbers + 1.0 + seed * 1e4).sin() * 1e4).frac().to_kind(Number::Float).view([rows, 2, length, 8]) * 2.0
}

pub fn qkv(rows: i64, queries: i64, keys: i64) -> [Tensor; 3] {
    [made(rows, queries, 1.0), made(rows, keys, 2.0), made(rows, keys, 3.0)]
}

pub fn fused(q: &Tensor, k: &Tensor, v: &Tensor) -> Tensor {
    Tensor::scaled_dot_product_attention(q, k, v, None::<&Tensor>, 0.0, false, None, false)
}

pub fn weights(q: &Tensor, k: &Tensor) -> Tensor {
    (q.matmul(&k.transpose(2, 3)) / 8f64.sqrt()).softmax(-1, None)
}

fn asked(tap: &dyn Tap, site: Site, qkv: &[Tensor; 3]) -> Option<Tensor> {
    tap.attention(site, qkv.each_ref())
}

pub fn distance(a: &Tensor, b: &Tensor) -> f64 {
    f64::try_from((a - b).abs().max()).unwrap()
}

/// Two lanes of two branches of `n` pictures each: `[lane][branch][picture]`.
fn tap_for(n: i64, control: CrossControl, [source, target]: [&str; 2]) -> PromptToPrompt {
    let plan = control.plan([&prompt(source), &prompt(target)], &prompt).unwrap();
    let tap = PromptToPrompt::new(control, plan, Layout::new(n, &[0, 2 * n]), LATENT, Device::Cpu);
    tap.at(0, STEPS);
    tap
}

fn tap(control: CrossControl, prompts: [&str; 2]) -> PromptToPrompt {
    tap_for(2, control, prompts)
}

const SAME: [&str; 2] = ["red heart"; 2];
const SWAP: [&str; 2] = ["red heart", "blue heart"];
const MORE: [&str; 2] = ["a cat", "a black cat"];

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn explicit_attention_is_the_fused_one() {
    // Both lanes attend alike, so that the source's attention is the target's own; only the values differ.
    let tap = tap(CrossControl::default(), SAME);
    let [q, k, v] = qkv(8, 64, TOKENS);
    let [q, k] = [q, k].map(|x| x.narrow(0, 0, 4).repeat([2, 1, 1, 1]));
    let given =
        asked(&tap, site("mid_block", true), &[q.shallow_clone(), k.shallow_clone(), v.shallow_clone()]).unwrap();
    assert!(distance(&given, &fused(&q, &k, &v)) < 1e-5);
}

#[test]
fn equal_prompts_give_equal_lanes() {
    let tap = tap(CrossControl::default(), SAME);
    for (cross, keys) in [(true, TOKENS), (false, 64)] {
        let both = qkv(4, 64, keys).map(|x| x.repeat([2, 1, 1, 1]));
        let given = asked(&tap, site("mid_block", cross), &both).unwrap();
        assert!(distance(&given.narrow(0, 0, 2), &given.narrow(0, 4, 2)) < 1e-6);
    }
}

#[test]
fn rows_of_nobody_are_as_ever() {
    for (prompts, cross, keys) in [(SWAP, true, TOKENS), (MORE, true, TOKENS), (SWAP, false, 64)] {
        let [q, k, v] = qkv(8, 64, keys);
        let plain = fused(&q, &k, &v);
        let given = asked(&tap(CrossControl::default(), prompts), site("mid_block", cross), &[q, k, v]).unwrap();
        for row in [0, 1, 2, 3, 6, 7] {
            assert_eq!(distance(&given.get(row), &plain.get(row)), 0.0, "row {row}");
        }
        assert!(distance(&given.narrow(0, 4, 2), &plain.narrow(0, 4, 2)) > 0.01);
    }
}

#[test]
fn the_target_attends_as_its_map_says() {
    let [q, k, v] = qkv(8, 64, TOKENS);
    let [source, own] = [0, 4].map(|row| weights(&q.narrow(0, row, 2), &k.narrow(0, row, 2)));
    let given = |prompts| {
        let qkv = [q.shallow_clone(), k.shallow_clone(), v.shallow_clone()];
        asked(&tap(CrossControl::default(), prompts), site("mid_block", true), &qkv).unwrap().narrow(0, 4, 2)
    };
    let swapped = source.matmul(&v.narrow(0, 4, 2));
    assert!(distance(&given(SWAP), &swapped) < 1e-5);
    // "black" is token 2; what stands behind it has moved by one, and padding's last token is beyond.
    let refined = Tensor::cat(&[source.narrow(3, 0, 2), own.narrow(3, 2, 1), source.narrow(3, 2, TOKENS - 3)], 3);
    assert!(distance(&given(MORE), &refined.matmul(&v.narrow(0, 4, 2))) < 1e-5);
}

#[test]
fn weights_multiply_attention() {
    let [q, k, _] = qkv(8, 64, TOKENS);
    let ones = Tensor::ones([8, 2, TOKENS, 8], (Number::Float, Device::Cpu));
    let qkv = [q.shallow_clone(), k.shallow_clone(), ones];
    let given = |weight: f64| {
        let weights = [("heart".to_owned(), Weight(weight))].into();
        let control = CrossControl { kind: Kind::Reweight, weights, ..CrossControl::default() };
        asked(&tap(control, SAME), site("mid_block", true), &qkv).unwrap().narrow(0, 4, 2)
    };
    let plain = asked(&tap(CrossControl::default(), SAME), site("mid_block", true), &qkv).unwrap();
    assert_eq!(distance(&given(1.0), &plain.narrow(0, 4, 2)), 0.0);
    // Without a norm to hold it, twice the attention to a token is that much more of all values.
    let heart = weights(&q.narrow(0, 0, 2), &k.narrow(0, 0, 2)).narrow(3, 2, 1);
    assert!(distance(&given(2.0), &(heart + 1.0)) < 1e-5);
}

#[test]
fn control_ends_with_its_share_of_the_steps() {
    let (cross, own) = (qkv(8, 64, TOKENS), qkv(8, 64, 64));
    let count = |control: CrossControl| {
        let tap = tap(control, SWAP);
        [(true, &cross), (false, &own)].map(|(cross, qkv)| {
            let edited = |step: &usize| {
                tap.at(*step, STEPS);
                asked(&tap, site("mid_block", cross), qkv).is_some()
            };
            (0..STEPS).take_while(edited).count()
        })
    };
    let of = |cross, self_| count(CrossControl { cross, self_, ..CrossControl::default() });
    // floor(cross 11) and floor(self 10) of 10 steps.
    assert_eq!([of(0.0, 0.0), of(0.8, 0.4), of(0.1, 0.3), of(1.0, 1.0)], [[0, 0], [8, 4], [1, 3], [10, 10]]);
}

#[test]
fn pixels_attend_as_those_of_the_source_where_they_are_few() {
    let [q, k, v] = qkv(8, 64, 64);
    let wanted = fused(&q.narrow(0, 0, 2), &k.narrow(0, 0, 2), &v.narrow(0, 4, 2));
    let at = |self_side| {
        let control = CrossControl { self_side, ..CrossControl::default() };
        asked(&tap(control, SWAP), site("mid_block", false), &[q.shallow_clone(), k.shallow_clone(), v.shallow_clone()])
    };
    assert_eq!(distance(&at(8).unwrap().narrow(0, 4, 2), &wanted), 0.0);
    assert!(at(7).is_none());
}

#[test]
fn pictures_do_not_see_each_other() {
    let control = CrossControl { blend_words: words(&["heart"]), ..CrossControl::default() };
    let order = Tensor::from_slice(&[2i64, 0, 1]);
    let rows = Tensor::cat(&[0, 3, 6, 9].map(|first| &order + first), 0);
    let x = made(3, 32, 5.0).view([3, 2, 16, 16]);
    let y = made(3, 32, 6.0).view([3, 2, 16, 16]);
    for (is_cross, keys) in [(true, TOKENS), (false, 64)] {
        let all = qkv(12, 64, keys);
        let (plain, moved) = (tap_for(3, control.clone(), SWAP), tap_for(3, control.clone(), SWAP));
        let wanted = asked(&plain, site("mid_block", is_cross), &all).unwrap().index_select(0, &rows);
        let permuted = all.each_ref().map(|x| x.index_select(0, &rows));
        let given = asked(&moved, site("mid_block", is_cross), &permuted).unwrap();
        assert!(distance(&given, &wanted) < 1e-6);
        plain.settle();
        moved.settle();
        let blended = moved.blend(&x.index_select(0, &order), &y.index_select(0, &order));
        assert_eq!(distance(&blended, &plain.blend(&x, &y).index_select(0, &order)), 0.0);
    }
}

/// Queries, keys and values by which each lane's pixel at its peak of an 8x8 map looks at token 2, the others at the begin.
pub fn looking(peaks: &[i64]) -> [Tensor; 3] {
    let eye = Tensor::eye(TOKENS, (Number::Float, Device::Cpu));
    let lane = |peak: &i64| {
        let token = Tensor::zeros([64], (Number::Int64, Device::Cpu)).index_fill(0, &Tensor::from_slice(&[*peak]), 2);
        eye.index_select(0, &token).view([1, 1, 64, TOKENS]) * 1000.0
    };
    let q = Tensor::cat(&peaks.iter().map(lane).collect::<Vec<_>>(), 0);
    let k = eye.repeat([q.size()[0], 1, 1, 1]);
    [q, k.shallow_clone(), k]
}

fn blender(threshold: f64, cross: f64) -> PromptToPrompt {
    let blend_words = words(&["heart"]);
    let control = CrossControl { blend_words, blend_threshold: threshold, cross, ..CrossControl::default() };
    let plan = control.plan([&prompt(SWAP[0]), &prompt(SWAP[1])], &prompt).unwrap();
    let tap = PromptToPrompt::new(control, plan, Layout::new(1, &[0, 1]), LATENT, Device::Cpu);
    tap.at(0, STEPS);
    tap
}

#[test]
fn pictures_change_where_the_words_are_seen() {
    let tap = blender(0.3, 0.0);
    let [source, target] = [0.0, 1.0].map(|x| Tensor::full([1, 4, 16, 16], x, (Number::Float, Device::Cpu)));
    assert_eq!(distance(&tap.blend(&source, &target), &target), 0.0, "nothing was seen");
    // Rows and columns (1, 2) of the source and (5, 6) of the target: 3x3 cells around each, twice as large in latents.
    assert!(asked(&tap, site("mid_block", true), &looking(&[8 + 2, 5 * 8 + 6])).is_none());
    tap.settle();
    let mut wanted = vec![0f32; 256];
    for (row, column) in [(0, 2), (8, 10)] {
        (row..row + 6).for_each(|y| (column..column + 6).for_each(|x| wanted[y * 16 + x] = 1.0));
    }
    let wanted = Tensor::from_slice(&wanted).view([1, 1, 16, 16]).expand([1, 4, 16, 16], false);
    assert_eq!(distance(&tap.blend(&source, &target), &wanted), 0.0);
}

#[test]
fn a_mask_of_nothing_gives_the_source() {
    let tap = blender(1.0, 0.8);
    assert!(asked(&tap, site("mid_block", true), &looking(&[10, 46])).is_some());
    tap.settle();
    let [source, target] = [7.0, 8.0].map(|seed| made(1, 64, seed).view([1, 4, 16, 16]));
    assert_eq!(distance(&tap.blend(&source, &target), &source), 0.0);
    let other = tap_for(1, CrossControl::default(), SWAP);
    assert_eq!(distance(&other.blend(&source, &target), &target), 0.0, "no words, no blend");
}

#[test]
fn a_forward_that_is_tried_again_counts_once() {
    let share = |tries: usize| {
        let tap = blender(0.7, 0.0);
        for (tries, peak) in [(tries, 10), (1, 46)] {
            (0..tries).for_each(|_| drop(asked(&tap, site("mid_block", true), &looking(&[peak; 2]))));
            tap.settle();
        }
        f64::try_from(tap.mask().unwrap().to_kind(Number::Double).mean(Number::Double)).unwrap()
    };
    // Counted twice, the first map would drown the second.
    assert_eq!((share(1), share(3)), (72.0 / 256.0, 72.0 / 256.0));
}

#[test]
fn maps_are_those_of_the_coarsest_fitting_resolution() {
    let mut record = Record::new([16, 16]);
    let map = |queries: i64, value: f64| [Tensor::full([1, 2, queries, 3], value, (Number::Float, Device::Cpu))];
    for (block, queries, value) in [
        ("down_blocks.0", 256, 1.0),
        ("down_blocks.1", 64, 2.0),
        ("mid_block", 16, 3.0),
        ("up_blocks.1", 64, 4.0),
        ("up_blocks.2", 256, 5.0),
    ] {
        record.write(site(block, true), &map(queries, value));
    }
    assert!(record.maps(0).is_none());
    record.settle();
    record.write(site("mid_block", true), &map(64, 10.0));
    record.settle();
    let sum = record.maps(0).unwrap();
    assert_eq!(sum.size(), [1, 3, 8, 8]);
    assert_eq!((sum.min().double_value(&[]), sum.max().double_value(&[])), (13.0, 13.0));
    let wants = |latent, queries| Record::new(latent).wants(queries);
    assert!(wants([64, 64], 256) && !wants([64, 64], 64) && wants([64, 96], 16 * 24) && wants([4, 4], 16));
}
