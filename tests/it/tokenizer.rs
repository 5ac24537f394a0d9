//! The tokenizer against transformers' CLIPTokenizer, from goldens made by tests/data/make_goldens.py.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use darkroom::model::{Tokenizer, Tokens};
use serde::Deserialize;

use crate::folders::root;

#[derive(Deserialize)]
struct Golden {
    prompt: String,
    ids: Vec<i64>,
    dropped: usize,
}

fn goldens(name: &str) -> Vec<Golden> {
    let text = fs::read_to_string(root().join("tests/data/goldens/tokens.json")).unwrap();
    serde_json::from_str::<BTreeMap<String, Vec<Golden>>>(&text).unwrap().remove(name).unwrap()
}

fn agrees(folder: &Path, name: &str) {
    let tokenizer = Tokenizer::read(folder, 77).unwrap();
    let goldens = goldens(name);
    assert!(goldens.len() > 30);
    for Golden { prompt, ids, dropped } in goldens {
        assert_eq!(tokenizer.encode(&prompt), Tokens { ids, dropped }, "{prompt:?}");
    }
}

#[test]
fn prompts_become_the_ids_of_transformers() {
    agrees(&root().join("models/emoji64/tokenizer"), "emoji64");
}

/// Stable Diffusion 2.x pads with `!`, and writes its special tokens as objects.
#[test]
fn special_tokens_are_those_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["vocab.json", "merges.txt"] {
        fs::copy(root().join("models/emoji64/tokenizer").join(name), folder.path().join(name)).unwrap();
    }
    let config = root().join("tests/data/goldens/bang/tokenizer_config.json");
    fs::copy(config, folder.path().join("tokenizer_config.json")).unwrap();
    agrees(folder.path(), "bang");
}

#[test]
fn the_text_encoder_bounds_the_length() {
    let tokenizer = Tokenizer::read(&root().join("models/emoji64/tokenizer"), 5).unwrap();
    let Tokens { ids, dropped } = tokenizer.encode("a red heart, twemoji style");
    assert_eq!((ids, dropped), (vec![4288, 263, 499, 466, 4289], 3));
}

#[test]
fn many_brackets_take_linear_time() {
    let tokenizer = Tokenizer::read(&root().join("models/emoji64/tokenizer"), 24).unwrap();
    let start = Instant::now();
    for text in ["(".repeat(32_768), "(a".repeat(16_384), "a".repeat(32_768)] {
        assert!(tokenizer.encode(&text).dropped > 1000);
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn a_special_token_must_be_known() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["vocab.json", "merges.txt"] {
        fs::copy(root().join("models/emoji64/tokenizer").join(name), folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("tokenizer_config.json"), r#"{"bos_token": "<nowhere>"}"#).unwrap();
    assert!(Tokenizer::read(folder.path(), 24).unwrap_err().to_string().contains("<nowhere>"));
}
