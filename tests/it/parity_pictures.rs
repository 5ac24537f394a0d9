//! Whole runs on the embedded model against the schedulers of Python diffusers, from goldens made by
//! tests/data/make_picture_goldens.py. tests/data/goldens/pictures.json is the table of peer classes and ends.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use darkroom::{
    ask::{Net, Stage},
    job::Generation,
    model::{Batch, Card, Model, family, format::safetensors},
    noise::{Purpose, normals},
    task::{Made, Plan, generate},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use crate::support::exact::drive;

#[derive(Deserialize)]
struct Table {
    request: Value,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    peer: String,
    sampler: Value,
    schedule: Value,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn goldens() -> (Table, BTreeMap<String, Tensor>) {
    let dir = root().join("tests/data/goldens");
    let table = serde_json::from_slice(&std::fs::read(dir.join("pictures.json")).unwrap()).unwrap();
    let tensors = safetensors::from_bytes(&std::fs::read(dir.join("pictures.safetensors")).unwrap()).unwrap();
    (table, tensors.into_iter().collect())
}

fn embedded() -> (Arc<Card>, Box<dyn Model>) {
    let dir = root().join("models/emoji64");
    let family = family(&dir).unwrap();
    let card = Arc::new((family.card)(&dir).unwrap());
    let weights = (family.weights)(&card, Device::Cpu, Kind::Float).unwrap();
    let model = (family.build)(&card, &weights).unwrap();
    (card, model)
}

fn request(wanted: &Value, row: &Row) -> Generation {
    serde_json::from_value(json!({
        "model": "emoji64", "prompt": wanted["prompt"], "negative_prompt": "", "count": 1, "seed": wanted["seed"],
        "width": 64, "height": 64, "clip_skip": 0, "prompt_syntax": "plain", "steps": wanted["steps"],
        "sampler": row.sampler, "schedule": row.schedule, "guidance": {"name": "cfg", "scale": wanted["guidance"]},
        "output": {"format": "safetensors"}, "preview_every": 0, "priority": 0, "metadata": {},
    }))
    .unwrap()
}

fn latents(card: &Arc<Card>, model: &dyn Model, request: Generation) -> Tensor {
    let plan = Plan::new(card.clone(), request, vec![0], &|id| Err(format!("no {id}"))).unwrap();
    let net = Net::default();
    let made = drive(&net, model, generate(plan, net.clone(), Device::Cpu)).unwrap().remove(0).made;
    let Made::Latents(values) = made else { panic!("latents were asked for") };
    Tensor::from_slice(&values).view([1, 4, 16, 16])
}

/// Eight-bit RGB, `[3, 64, 64]`, as numbers.
fn picture(model: &dyn Model, latents: &Tensor) -> Tensor {
    let batch = Batch::of(latents.shallow_clone());
    let pixels = model.forward(Stage::Decode, &batch).unwrap().output;
    ((pixels.clamp(-1.0, 1.0) + 1.0) * 127.5).round().squeeze_dim(0)
}

fn apart(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b.to_kind(Kind::Float)).abs().max().double_value(&[])
}

#[test]
fn whole_runs_agree_with_the_peers_schedulers() {
    let (table, goldens) = goldens();
    let (card, model) = embedded();
    let mut wrong = Vec::new();
    for (number, row) in table.rows.iter().enumerate() {
        let found = latents(&card, model.as_ref(), request(&table.request, row));
        let off = apart(&found, &goldens[&format!("{number}.latents")]);
        let pixels_off = apart(&picture(model.as_ref(), &found), &goldens[&format!("{number}.picture")]);
        let line = format!("{} as {} over {}: {off:.1e}, {pixels_off}/255", row.peer, row.sampler, row.schedule);
        println!("{line}");
        if off > 1e-3 || pixels_off > 2.0 {
            wrong.push(line);
        }
    }
    assert!(table.rows.len() >= 25, "the table has every pair of sampler and schedule that the peer also has");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The noise function as the goldens' script has it, written from the paper a second time.
#[test]
fn the_noise_is_the_published_generator() {
    let (table, goldens) = goldens();
    let seed = table.request["seed"].as_u64().unwrap();
    for (name, purpose, step) in [("noise", Purpose::Start, 0), ("step_noise", Purpose::Step, 3)] {
        let ours = Tensor::from_slice(&normals(seed, purpose, step, 4 * 16 * 16)).view([1, 4, 16, 16]);
        assert!(apart(&ours, &goldens[name]) < 1e-6, "{name}");
    }
}
