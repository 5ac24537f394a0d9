//! Unified attention control, on made queries, keys and values.

use darkroom::{
    ask::{Site, Tap},
    edit::attention::{Layout, Unified, UnifiedControl},
};
use tch::{Device, Kind, Tensor};

use crate::{
    attention_control::{TOKENS, distance, fused, looking, made, qkv, site, weights, words},
    attention_words::prompt,
};

const STEPS: usize = 10;

/// Three lanes of one picture, without another branch.
fn tap(control: UnifiedControl, [source, target]: [&str; 2]) -> Unified {
    let plan = control.plan([&prompt(source), &prompt(target)], &prompt).unwrap();
    let features = [1.0, 2.0].map(|seed| made(1, TOKENS, seed).view([1, TOKENS, 16]));
    let tap = Unified::new(control, plan, Layout::new(1, &[0, 1, 2]), [16, 16], features.each_ref());
    tap.at(0, STEPS);
    tap
}

fn asked(tap: &Unified, site: Site, qkv: &[Tensor; 3]) -> Option<Tensor> {
    tap.attention(site, qkv.each_ref())
}

fn copies([q, k, v]: &[Tensor; 3]) -> [Tensor; 3] {
    [q, k, v].map(Tensor::shallow_clone)
}

#[test]
fn one_prompt_thrice_gives_one_lane_thrice() {
    let tap = tap(UnifiedControl::default(), ["red heart"; 2]);
    for step in [0, 9] {
        tap.at(step, STEPS);
        for (cross, keys) in [(true, TOKENS), (false, 64)] {
            let lanes = qkv(1, 64, keys).map(|x| x.repeat([3, 1, 1, 1]));
            if let Some(given) = asked(&tap, site("mid_block", cross), &lanes) {
                assert!(distance(&given, &given.narrow(0, 0, 1).expand_as(&given)) < 1e-6);
            } else {
                assert!(cross && step == 9);
            }
        }
    }
}

#[test]
fn pixels_attend_by_the_step() {
    let control = UnifiedControl { self_replace: 0.5, ..UnifiedControl::default() };
    let tap = tap(control, ["red heart", "blue heart"]);
    let all = qkv(3, 64, 64);
    let [q, k, v] = &all;
    let from = |lanes: [i64; 3]| fused(&q.narrow(0, lanes[0], 1), &k.narrow(0, lanes[1], 1), &v.narrow(0, lanes[2], 1));
    // Progress is 0.4 in step 3 and 0.5, no longer below, in step 4.
    for (step, lanes) in [(3, [[0, 0, 0], [0, 0, 1], [0, 0, 0]]), (4, [[0, 0, 0], [1, 1, 1], [1, 0, 0]])] {
        tap.at(step, STEPS);
        let given = asked(&tap, site("mid_block", false), &copies(&all)).unwrap();
        assert!(distance(&given, &Tensor::cat(&lanes.map(from), 0)) < 1e-6, "step {step}");
    }
}

#[test]
fn the_text_is_attended_to_by_the_step() {
    let control = UnifiedControl { cross_replace: 0.5, ..UnifiedControl::default() };
    let tap = tap(control, ["a cat", "a black cat"]);
    let all = qkv(3, 64, TOKENS);
    let [q, k, v] = &all;
    let plain = fused(q, k, v);
    let [source, own] = [0, 1].map(|row| weights(&q.narrow(0, row, 1), &k.narrow(0, row, 1)));
    let refined = Tensor::cat(&[source.narrow(3, 0, 2), own.narrow(3, 2, 1), source.narrow(3, 2, TOKENS - 3)], 3);
    tap.at(4, STEPS);
    let given = asked(&tap, site("mid_block", true), &copies(&all)).unwrap();
    assert!(distance(&given.narrow(0, 1, 1), &refined.matmul(&v.narrow(0, 1, 1))) < 1e-5);
    assert_eq!(distance(&given.get(0), &plain.get(0)), 0.0);
    assert_eq!(distance(&given.get(2), &plain.get(2)), 0.0);
    tap.at(5, STEPS);
    assert!(asked(&tap, site("mid_block", true), &all).is_none());
}

/// What is left of three latents of 1, 2 and 3 when lanes look at token 2 (the word behind the first) in the given cells.
fn blended(control: UnifiedControl, peaks: [i64; 3], alpha: f64, steps: [usize; 2]) -> Tensor {
    let tap = tap(control, ["red heart", "blue heart"]);
    let latents = [1.0, 2.0, 3.0].map(|x| Tensor::full([1, 4, 16, 16], x, (Kind::Float, Device::Cpu)));
    for (evaluation, step) in steps.into_iter().enumerate() {
        tap.at(step, STEPS);
        drop(asked(&tap, site("mid_block", true), &looking(&peaks)));
        tap.settle();
        if evaluation == 0 {
            assert_eq!(distance(&tap.blend(latents.each_ref(), alpha), &latents[1]), 0.0, "not in the first step");
        }
    }
    tap.blend(latents.each_ref(), alpha)
}

/// Latents of `rest`, but for the 2x2 around a cell of an 8x8 map.
fn spotted(rest: f32, spots: &[(usize, f32)]) -> Tensor {
    let mut wanted = vec![rest; 256];
    for (cell, value) in spots {
        for (y, x) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            wanted[(cell / 8 * 2 + y) * 16 + cell % 8 * 2 + x] = *value;
        }
    }
    Tensor::from_slice(&wanted).view([1, 1, 16, 16]).expand([1, 4, 16, 16], false)
}

#[test]
fn masks_choose_between_the_lanes() {
    let control = |target: &[&str], keep: &[&str]| UnifiedControl {
        target_words: words(target),
        keep_words: words(keep),
        ..UnifiedControl::default()
    };
    let peaks = [10, 20, 46];
    let early = |target: &[&str], keep: &[&str], alpha| blended(control(target, keep), peaks, alpha, [0, 1]);
    let same = |given: Tensor, wanted: Tensor| assert_eq!(distance(&given, &wanted), 0.0);
    // The target's own at target words as the layout lane sees them, else the layout's.
    same(early(&["heart"], &[], 0.9), spotted(3.0, &[(46, 2.0)]));
    // With little signal nothing is sure enough.
    same(early(&["heart"], &[], 0.1), spotted(3.0, &[]));
    // Kept words as the source sees them.
    same(early(&[], &["heart"], 0.9), spotted(2.0, &[(10, 1.0)]));
    // In both lists: a target word, and in the last step the layout's.
    same(early(&["heart"], &["heart"], 0.9), spotted(3.0, &[(46, 2.0)]));
    let last = blended(control(&["heart", "blue"], &["heart"]), peaks, 0.9, [8, 9]);
    same(last.slice(2, 10, 12, 1).slice(3, 12, 14, 1), Tensor::full([1, 4, 2, 2], 3.0, (Kind::Float, Device::Cpu)));
}

#[test]
fn a_word_kept_everywhere_keeps_the_source() {
    let control = UnifiedControl { keep_words: words(&["heart"]), threshold_keep: 0.0, ..UnifiedControl::default() };
    let tap = tap(control, ["red heart", "blue heart"]);
    let latents = [1.0, 2.0, 3.0].map(|x| Tensor::full([1, 4, 16, 16], x, (Kind::Float, Device::Cpu)));
    for step in 0..2 {
        tap.at(step, STEPS);
        assert!(asked(&tap, site("mid_block", true), &qkv(3, 64, TOKENS)).is_some());
        tap.settle();
    }
    assert_eq!(distance(&tap.blend(latents.each_ref(), 0.9), &latents[0]), 0.0);
}
