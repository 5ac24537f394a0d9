//! From two prompts to maps between their tokens.

use darkroom::{
    edit::attention::{CrossControl, Kind, Prompt, TokenMap, UnifiedControl, Weight, align},
    error::Fault,
    model::Tokenizer,
    registry::{Entry, Options, read_options},
};
use serde_json::{Value, json};
use tch::{Kind as Number, Tensor};

use crate::folders::root;

fn tokenizer(longest: usize) -> Tokenizer {
    Tokenizer::read(&root().join("models/emoji64/tokenizer"), longest).unwrap()
}

/// A prompt as the embedded model reads it.
pub fn prompt(text: &str) -> Prompt {
    let tokenizer = tokenizer(24);
    Prompt::new(tokenizer.encode(text).ids, tokenizer.words(text))
}

/// Words of so many tokens each, told apart by their numbers, between begin (9), end and padding (8).
fn made(words: &[&[i64]]) -> Prompt {
    let (mut ids, mut places) = (vec![9], Vec::new());
    for word in words {
        places.push(ids.len()..ids.len() + word.len());
        ids.extend(*word);
    }
    ids.resize(10, 8);
    Prompt::new(ids, places)
}

#[test]
fn words_are_where_their_tokens_are() {
    let tokenizer = tokenizer(24);
    let text = "A  red heart, it's 12 zugzwang";
    let words = ["a", "red", "heart", ",", "it", "'s", "1", "2", "zugzwang"];
    let (ids, places) = (tokenizer.encode(text).ids, tokenizer.words(text));
    assert_eq!((places.len(), places[0].start), (words.len(), 1));
    for (word, place) in words.iter().zip(&places) {
        let alone = tokenizer.encode(word).ids;
        assert_eq!(ids[place.clone()], alone[1..=place.len()], "{word}");
        assert_eq!(tokenizer.words(word).first(), Some(&(1..place.len() + 1)), "{word}");
    }
    assert!(places.windows(2).all(|pair| pair[0].end == pair[1].start));
    assert!(places[8].len() > 1, "a word of several tokens: {places:?}");
    assert!(tokenizer.words("").is_empty());
}

#[test]
fn words_without_room_are_left_out() {
    let whole = tokenizer(24).words("red zugzwang heart");
    assert!(whole[1].len() > 2);
    assert_eq!(tokenizer(4).words("red zugzwang heart"), [1..2, 2..3]);
    assert!(tokenizer(2).words("red").is_empty());
}

#[test]
fn phrases_are_found_word_by_word() {
    let text = prompt("a red heart and a red, red heart");
    assert_eq!(text.find(&prompt("red heart")), [2, 3, 8, 9]);
    assert_eq!(text.find(&prompt("Red")), [2, 6, 8]);
    assert_eq!(text.find(&prompt("re")), [0; 0]);
    assert_eq!(text.find(&prompt("")), [0; 0]);
}

#[test]
fn swapped_words_share_out_their_attention() {
    let (source, target) = (made(&[&[1], &[2], &[3]]), made(&[&[1], &[5, 6], &[3]]));
    let map = TokenMap::replace(&source, &target).unwrap();
    let shares = [(0, 0, 1.0), (1, 1, 1.0), (2, 2, 0.5), (2, 3, 0.5), (3, 4, 1.0)];
    assert_eq!(map.shares[..5], shares);
    // The end goes to the end, and what the target has no room for to its last token.
    assert_eq!(map.shares[5..], [(4, 5, 1.0), (5, 6, 1.0), (6, 7, 1.0), (7, 8, 1.0), (8, 9, 1.0), (9, 9, 1.0)]);
    for (source, target) in [(&source, &target), (&target, &source)] {
        let map = TokenMap::replace(source, target).unwrap();
        for w in 0..10 {
            let row: f64 = map.shares.iter().filter(|share| share.0 == w).map(|share| share.2).sum();
            assert_eq!(row, 1.0, "row {w}");
        }
        assert!(map.taken.iter().all(|taken| *taken == 1.0));
    }
}

#[test]
fn replace_needs_as_many_words() {
    let (source, target) = (prompt("a cat"), prompt("a black cat"));
    let control = CrossControl { kind: Kind::Replace, ..CrossControl::default() };
    let fault = control.plan([&source, &target], &prompt).unwrap_err();
    assert_eq!(fault.pointer, "/kind");
    assert!(fault.message.contains("2 words") && fault.message.contains("3"), "{}", fault.message);
    assert_eq!(TokenMap::auto(&source, &target), TokenMap::refine(&source, &target));
    let target = prompt("a dog");
    assert_eq!(TokenMap::auto(&source, &target), TokenMap::replace(&source, &target).unwrap());
}

#[test]
fn a_word_more_finds_its_own_place() {
    let (cat, black) = (made(&[&[1], &[2]]), made(&[&[1], &[3], &[2]]));
    let map = TokenMap::refine(&cat, &black);
    let aligned: Vec<_> = map.shares.iter().map(|(w, n, _)| (*n, *w)).collect();
    assert_eq!(aligned, [(0, 0), (1, 1), (3, 2), (4, 3), (5, 4), (6, 5), (7, 6), (8, 7), (9, 8)]);
    assert_eq!(map.taken, [1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    // A word less: the last token of padding is there twice.
    let aligned: Vec<_> = TokenMap::refine(&black, &cat).shares.iter().map(|(w, n, _)| (*n, *w)).collect();
    assert_eq!(aligned[..4], [(0, 0), (1, 1), (2, 3), (3, 4)]);
    assert_eq!(aligned[8..], [(8, 9), (9, 9)]);
}

#[test]
fn of_equal_alignments_the_gap_in_the_source_comes_last() {
    assert_eq!(align(&[1], &[1, 1]), [Some(0), None]);
    assert_eq!(align(&[1, 1], &[1]), [Some(0)]);
    assert_eq!(align(&[9, 1, 2, 8], &[9, 1, 3, 8]), [Some(0), Some(1), None, Some(3)]);
    assert_eq!(align(&[], &[1]), [None]);
}

#[test]
fn weights_go_to_every_token_of_a_word() {
    let both = prompt("a red zugzwang");
    let weights = [("zugzwang".to_owned(), Weight(3.0))].into();
    let control = CrossControl { kind: Kind::Reweight, weights, ..CrossControl::default() };
    let map = control.plan([&both, &both], &prompt).unwrap().map;
    let word = both.words()[2].clone();
    assert!(word.len() > 1);
    for (n, scale) in map.scale.iter().enumerate() {
        assert_eq!(*scale, if word.contains(&n) { 3.0 } else { 1.0 });
    }
    let fault = control.plan([&both, &prompt("a blue zugzwang")], &prompt).unwrap_err();
    assert!(fault.pointer == "/kind" && fault.message.contains("equal"), "{fault}");
    let fault = control.plan([&prompt("a red"), &prompt("a red")], &prompt).unwrap_err();
    assert_eq!(fault.pointer, "/weights/zugzwang");
}

#[test]
fn words_must_stand_in_a_prompt() {
    let prompts = [&prompt("red heart"), &prompt("blue heart")];
    let blend = |words: &[&str]| {
        let blend_words = words.iter().map(|word| (*word).to_owned()).collect();
        CrossControl { blend_words, ..CrossControl::default() }.plan(prompts, &prompt)
    };
    assert_eq!(blend(&["blue", "red"]).unwrap().blend, [vec![1], vec![1]]);
    assert_eq!(blend(&["heart"]).unwrap().blend, [vec![2], vec![2]]);
    assert_eq!(blend(&["heart", "green"]).unwrap_err().pointer, "/blend_words/1");
    let unified = |target: &str, keep: &str| {
        let [target_words, keep_words] =
            [target, keep].map(|words| words.split_whitespace().map(str::to_owned).collect());
        UnifiedControl { target_words, keep_words, ..UnifiedControl::default() }.plan(prompts, &prompt)
    };
    let plan = unified("blue heart", "red heart").unwrap();
    assert_eq!((plan.edited, plan.kept, plan.both), (vec![1, 2], vec![1], vec![2]));
    assert_eq!(unified("red", "").unwrap_err().pointer, "/target_words/0");
    assert_eq!(unified("", "heart blue").unwrap_err().pointer, "/keep_words/1");
}

#[test]
fn loose_words_are_paired_by_meaning() {
    let (source, target) = (made(&[&[1], &[2], &[3]]), made(&[&[1], &[4]]));
    let map = TokenMap::refine(&source, &target);
    // Of the loose tokens 2 and 3 of the source, 3 points the way of token 2 of the target; so does 1, which is not loose.
    let features = |rows: [[f32; 2]; 4]| {
        let rows = Tensor::from_slice(rows.as_flattened()).view([4, 2]);
        Tensor::cat(&[rows, Tensor::zeros([6, 2], (Number::Float, tch::Device::Cpu))], 0).unsqueeze(0)
    };
    let [s, t] = [
        features([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.1, 2.0]]),
        features([[0.0; 2], [0.0; 2], [0.0, 5.0], [0.0; 2]]),
    ];
    let mix = map.paired([&s, &t], [source.end(), target.end()]);
    let seen = |token: i64| {
        let source =
            Tensor::zeros([10], (Number::Float, tch::Device::Cpu)).index_fill(0, &Tensor::from_slice(&[token]), 1.0);
        let own = Tensor::full([10], 7.0, (Number::Float, tch::Device::Cpu));
        f64::try_from(mix.of(&source.unsqueeze(0), &own.unsqueeze(0)).get(0).get(2)).unwrap()
    };
    assert_eq!([1, 2, 3, 4].map(seen), [0.0, 0.0, 1.0, 0.0]);
    let plain = map.on(tch::Device::Cpu).of(
        &Tensor::zeros([1, 10], (Number::Float, tch::Device::Cpu)),
        &Tensor::ones([1, 10], (Number::Float, tch::Device::Cpu)),
    );
    assert_eq!(f64::try_from(plain.get(0).get(2)).unwrap(), 1.0);
}

fn options<T: Options>(options: Value) -> Result<Box<T>, Fault> {
    Ok(Box::new(read_options::<T>(options)?))
}

const CROSS: Entry<CrossControl> = Entry::new::<CrossControl>("cross", "", "", options);
const UNIFIED: Entry<UnifiedControl> = Entry::new::<UnifiedControl>("unified", "", "", options);

#[test]
fn options_are_held_to_their_ranges() {
    let cross = |value: Value| CROSS.read(value.as_object().unwrap().clone()).unwrap_err().pointer;
    let good = json!({"kind": "refine", "cross": 0.5, "self": 1, "self_side": 8, "weights": {"red": -2, "heart": 10}});
    let read = CROSS.read(good.as_object().unwrap().clone()).unwrap();
    assert_eq!((read.self_, read.weights["heart"], read.blend_threshold), (1.0, Weight(10.0), 0.3));
    for (value, pointer) in [
        (json!({"kind": "swap"}), "/kind"),
        (json!({"cross": 1.1}), "/cross"),
        (json!({"self": -0.1}), "/self"),
        (json!({"self_side": 0}), "/self_side"),
        (json!({"weights": {"red": 11}}), "/weights/red"),
        (json!({"blend_threshold": 2}), "/blend_threshold"),
        (json!({"blend_words": vec!["a"; 76]}), "/blend_words"),
    ] {
        assert_eq!(cross(value), pointer);
    }
    let unified = |value: Value| UNIFIED.read(value.as_object().unwrap().clone());
    assert_eq!(*unified(json!({})).unwrap(), UnifiedControl::default());
    assert_eq!(unified(json!({"threshold_keep": 1.5})).unwrap_err().pointer, "/threshold_keep");
}
