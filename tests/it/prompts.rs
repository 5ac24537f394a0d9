//! The `weighted` syntax: how prompts are taken apart, laid into chunks, and weighed.

use std::time::{Duration, Instant};

use darkroom::{
    job::PromptSyntax,
    model::{Text, family},
    prompt::{Encoded, HEAVIEST, Part, emphasised, encode, parse},
};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

use crate::folders::root;

/// The embedded model's text side, with room for so many chunks of 22 tokens.
pub fn text(chunks: usize) -> Text {
    let dir = root().join("models/emoji64");
    let text = (family(&dir).unwrap().card)(&dir).unwrap().text.unwrap();
    Text { chunks, ..text }
}

/// Parts in short: texts with their weights in hundredths, `|` for a break.
fn short(prompt: &str) -> String {
    let shown = |part: &Part| match part {
        Part::Text(text, weight) => format!("{text}@{}", (weight * 100.0).round()),
        Part::Break => "|".into(),
    };
    parse(prompt).iter().map(shown).collect::<Vec<_>>().join("~")
}

#[test]
fn brackets_weigh_as_they_do_in_the_web_ui() {
    let cases = [
        ("", ""),
        ("normal text", "normal text@100"),
        ("an (important) word", "an @100~important@110~ word@100"),
        ("((a)) [b] [[c]]", "a@121~ @100~b@91~ @100~c@83"),
        ("(a:1.3) (b:.5) (c:2.) (d:+1) (e:-0.5)", "a@130~ @100~b@50~ @100~c@200~ d @100~e@-50"),
        ("(a : 1.3 )", "a @130"),
        ("(a:)", "a:@110"),
        ("(a:1.2.3) (a:1e9) (a:x)", "a:1.2.3@110~ @100~a:1e9@110~ @100~a:x@110"),
        ("a:1.3) b] c", "a:1.3) b] c@100"),
        ("(unbalanced", "unbalanced@110"),
        ("((((a", "a@146"),
        ("a)))", "a)))@100"),
        ("(a [b) c] d", "a @110~b@100~ c@91~ d@100"),
        ("(unnecessary)(parens)", "unnecessaryparens@110"),
        (r"\(literal\] \\ \x \", r"(literal] \ x @100"),
        (r"(a\):1.5)", "a)@150"),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            "a @100~house@157~ @110~on@100~ a @110~hill@55~, sun, @110~sky@146~.@110",
        ),
        ("(a:99) (b:-99) ((c:9):9)", "a@1000~ @100~b@-1000~ @100~c@1000"),
        ("a BREAK b", "a @100~|~ b@100"),
        ("(a BREAK b:2)", "a @200~|~ b@200"),
        ("BREAKfast BREAK_ xBREAK break, BREAK", "BREAKfast BREAK_ xBREAK break, @100~|"),
        ("(BREAK)BREAK:BREAK", "|~|~:@100~|"),
        ("éBREAK BREAKé (é", "éBREAK BREAKé @100~é@110"),
    ];
    for (prompt, parts) in cases {
        assert_eq!(short(prompt), parts, "{prompt:?}");
    }
}

proptest! {
    #[test]
    fn text_without_syntax_is_one_part(prompt in "[^()\\[\\]\\\\]{1,60}") {
        prop_assume!(!prompt.contains("BREAK"));
        prop_assert_eq!(parse(&prompt), [Part::Text(prompt, 1.0)]);
    }

    #[test]
    fn no_prompt_is_an_error(prompt in "([()\\[\\]:\\\\ .0-9,+-]|BREAK|\\PC){0,80}") {
        let parts = parse(&prompt);
        for part in &parts {
            if let Part::Text(text, weight) = part {
                prop_assert!(!text.is_empty() && weight.abs() <= HEAVIEST, "{:?}", parts);
            }
        }
        let alike = |pair: &[Part]| matches!(pair, [Part::Text(_, a), Part::Text(_, b)] if a == b);
        prop_assert!(!parts.windows(2).any(alike), "{:?}", parts);
    }

    /// What is escaped is what stands there.
    #[test]
    fn escaped_text_is_plain(prompt in "[a-z()\\[\\]\\\\: 0-9.]{1,60}") {
        let escaped: String = prompt.chars().flat_map(|letter| ['\\', letter].into_iter().skip(usize::from(!"()[]\\".contains(letter)))).collect();
        prop_assert_eq!(parse(&escaped), [Part::Text(prompt, 1.0)]);
    }
}

#[test]
fn time_is_linear() {
    let texts = ["(", "[", "(a", ")", "a)", "(a:1.1", "(a:1.1)", ": ", ":1", "\\", "\\(", "BREAK ", "([", "(a)[b]"];
    let text = text(8);
    for part in texts {
        let seconds = [32_768, 524_288].map(|bytes| {
            let prompt = part.repeat(bytes / part.len());
            let start = Instant::now();
            assert!(parse(&prompt).len() <= prompt.len());
            start.elapsed()
        });
        assert!(seconds[1] < Duration::from_secs(1), "{part}: {seconds:?}");
        let start = Instant::now();
        encode(&part.repeat(32_768 / part.len()), PromptSyntax::Weighted, &text);
        assert!(start.elapsed() < Duration::from_secs(2), "{part}: {:?}", start.elapsed());
    }
}

fn weighted(prompt: &str, chunks: usize) -> Encoded {
    encode(prompt, PromptSyntax::Weighted, &text(chunks))
}

/// Tokens of each chunk without those around the text.
fn lengths(encoded: &Encoded) -> Vec<usize> {
    let end = |ids: &[i64]| ids.iter().skip(1).position(|id| *id == 4289).unwrap();
    encoded.chunks.iter().map(|chunk| end(&chunk.ids)).collect()
}

#[test]
fn long_prompts_go_in_chunks() {
    let words = |n: usize| vec!["red"; n].join(" ");
    let cases = [
        (String::new(), vec![0]),
        (words(22), vec![22]),
        (words(23), vec![22, 1]),
        (words(50), vec![22, 22, 6]),
        // The last comma is 12, 21, 19 and 17 tokens from the end of the room, itself among them.
        (format!("{}, {}", words(10), words(20)), vec![11, 20]),
        (format!("red, {}", words(30)), vec![22, 10]),
        (format!("red, red, {}", words(30)), vec![4, 22, 8]),
        (format!("red, red, red, {}", words(30)), vec![6, 22, 8]),
        // A comma right behind the room begins the next chunk, without moving what stands before it.
        (format!("{}, {}, red", words(10), words(11)), vec![22, 2]),
        ("BREAK red BREAK BREAK blue BREAK".into(), vec![0, 1, 0, 1]),
        (format!("{} BREAK red", words(22)), vec![22, 1]),
    ];
    for (prompt, expected) in cases {
        assert_eq!(lengths(&weighted(&prompt, 8)), expected, "{prompt}");
    }
}

#[test]
fn chunks_are_bounded() {
    let prompt = vec!["red"; 50].join(" ");
    assert_eq!((lengths(&weighted(&prompt, 2)), weighted(&prompt, 2).dropped), (vec![22, 22], 6));
    assert_eq!((lengths(&weighted(&prompt, 1)), weighted(&prompt, 1).dropped), (vec![22], 28));
    let many = weighted(&"red BREAK ".repeat(3000), 8);
    assert_eq!((many.chunks.len(), many.dropped), (8, 2992));
}

#[test]
fn text_that_one_chunk_holds_is_the_same_in_both_syntaxes() {
    for prompt in ["", "a red heart, twemoji style", "A RED  Heart\n", "naïve: 3.14", &vec!["red"; 22].join(" ")] {
        assert_eq!(encode(prompt, PromptSyntax::Plain, &text(1)), weighted(prompt, 8), "{prompt}");
    }
    let long = vec!["red"; 30].join(" ");
    let plain = encode(&long, PromptSyntax::Plain, &text(8));
    assert_eq!((plain.chunks.len(), plain.dropped), (1, 8));
    assert_eq!(plain, weighted(&long, 1));
}

#[test]
fn prompts_are_padded_with_empty_ones() {
    let text = text(8);
    let mut encoded = encode("a (red) heart", PromptSyntax::Weighted, &text);
    let (own, empty) = (encoded.chunks[0].clone(), encode("", PromptSyntax::Plain, &text).chunks.remove(0));
    encoded.pad(3, &text.tokenizer);
    assert_eq!(encoded.chunks, [own, empty.clone(), empty]);
}

#[test]
fn each_chunk_gets_its_own_mean_back() {
    let features =
        Tensor::randn([2, 5, 8], (Kind::Float, Device::Cpu)) + Tensor::from_slice(&[1.0f32, -2.0]).view([2, 1, 1]);
    let weights = Tensor::from_slice(&[1.0, 1.4, 0.5, 1.0, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0]).view([2, 5]);
    let heard = emphasised(&features, &weights);
    for chunk in 0..2 {
        let [was, is] = [&features, &heard].map(|x| x.get(chunk).mean(Kind::Float).double_value(&[]));
        assert!((was - is).abs() < 1e-5, "{was} {is}");
        // Tokens keep their ratios.
        let ratio = |token: i64| (heard.get(chunk).get(token) / features.get(chunk).get(token)).double_value(&[3]);
        let own = weights.get(chunk);
        assert!((ratio(2) / ratio(0) - own.double_value(&[2]) / own.double_value(&[0])).abs() < 1e-5);
    }
}

/// Where the features are centred, or the weights make them so, there is no mean to give back.
#[test]
fn a_mean_that_has_cancelled_is_left_alone() {
    let features = Tensor::from_slice(&[1.0f32, -1.0, 2.0, -2.001]).view([1, 2, 2]);
    let heard = emphasised(&features, &Tensor::from_slice(&[1.0, 3.0]).view([1, 2]));
    assert_eq!(Vec::<f32>::try_from(heard.view(-1)).unwrap(), [1.0, -1.0, 6.0, -6.003]);
    let features = Tensor::from_slice(&[1.0f32, 1.0, 1.0, 1.0]).view([1, 2, 2]);
    let heard = emphasised(&features, &Tensor::from_slice(&[1.0, -1.0]).view([1, 2]));
    assert_eq!(Vec::<f32>::try_from(heard.view(-1)).unwrap(), [1.0, 1.0, -1.0, -1.0]);
    let nothing = Tensor::zeros([1, 2, 2], (Kind::Float, Device::Cpu));
    assert!(emphasised(&nothing, &Tensor::from_slice(&[1.0, 2.0]).view([1, 2])).equal(&nothing));
}
