//! Weighted prompts against an independent writing of their rules around transformers, from goldens made by
//! tests/data/make_prompt_goldens.py.

use std::{collections::BTreeMap, fs, sync::Arc};

use darkroom::{
    ask::Stage,
    job::PromptSyntax,
    model::{Batch, Text, family, format::safetensors},
    prompt::{encode, joined},
};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use crate::{folders::root, prompts};

#[derive(Deserialize)]
struct Case {
    prompt: String,
    skip: u32,
    lifted: bool,
}

/// What the script adds to the features of `lifted` prompts.
const LIFT: f64 = 0.1;

fn cases() -> Vec<Case> {
    serde_json::from_str(&fs::read_to_string(root().join("tests/data/goldens/prompts.json")).unwrap()).unwrap()
}

fn tensors() -> BTreeMap<String, Tensor> {
    let bytes = fs::read(root().join("tests/data/goldens/prompts.safetensors")).unwrap();
    safetensors::from_bytes(&bytes).unwrap().into_iter().collect()
}

#[test]
fn weighted_prompts_are_encoded_as_the_rules_say() {
    let dir = root().join("models/emoji64");
    let family = family(&dir).unwrap();
    let card = Arc::new((family.card)(&dir).unwrap());
    let weights = (family.weights)(&card, Device::Cpu, Kind::Float).unwrap();
    let model = (family.build)(&card, &weights).unwrap();
    let (text, tensors, cases): (Text, _, _) = (prompts::text(8), tensors(), cases());
    assert!(cases.len() >= 12 && cases.iter().any(|case| case.skip > 0) && cases.iter().any(|case| case.lifted));
    for (number, Case { prompt, skip, lifted }) in cases.iter().enumerate() {
        let golden = |name: &str| &tensors[&format!("{number}.{name}")];
        let encoded = encode(prompt, PromptSyntax::Weighted, &text);
        let ids: Vec<_> = encoded.chunks.iter().map(|chunk| Tensor::from_slice(&chunk.ids)).collect();
        let ids = Tensor::stack(&ids, 0);
        assert!(ids.equal(golden("ids")), "{prompt}: {ids} {}", golden("ids"));
        let weights: Vec<f64> = encoded.chunks.iter().flat_map(|chunk| chunk.weights.clone()).collect();
        let apart = (Tensor::from_slice(&weights) - golden("weights").view(-1)).abs().max().double_value(&[]);
        assert!(apart < 1e-6, "{prompt}: weights {apart}");
        let features = model.forward(Stage::Embed, &Batch { skip: *skip, ..Batch::of(ids) }).unwrap().output;
        let features = if *lifted { features + LIFT } else { features };
        let found = joined(&features, &[encoded]).squeeze_dim(0);
        assert_eq!(found.size(), golden("features").size());
        let scale = golden("features").abs().max().double_value(&[]);
        let apart = (found - golden("features")).abs().max().double_value(&[]) / scale;
        println!("{prompt:?}: {apart:.1e}");
        assert!(apart < 1e-5, "{prompt}: features {apart}");
    }
}
