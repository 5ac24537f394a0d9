//! Networks against the Python libraries, from goldens made by tests/data/make_goldens.py.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use darkroom::{
    ask::{Conditioning, Stage},
    denoiser::Prediction,
    model::{Batch, Model, family, format::safetensors},
};
use tch::{Device, Kind, Tensor};

use crate::folders::{root, tiny};

fn emoji64() -> std::path::PathBuf {
    root().join("models/emoji64")
}

type Goldens = BTreeMap<String, Tensor>;

fn goldens(path: &str) -> Goldens {
    let bytes = std::fs::read(root().join("tests/data/goldens").join(path)).unwrap();
    safetensors::from_bytes(&bytes).unwrap().into_iter().collect()
}

/// The model of a folder and a second one around the same weights.
fn load(dir: &Path, kind: Kind) -> Vec<Box<dyn Model>> {
    let family = family(dir).unwrap();
    let card = Arc::new((family.card)(dir).unwrap());
    let weights = (family.weights)(&card, Device::Cpu, kind).unwrap();
    vec![(family.build)(&card, &weights).unwrap(), (family.build)(&card, &weights.share()).unwrap()]
}

fn forward(model: &dyn Model, stage: Stage, batch: Batch) -> Tensor {
    model.forward(stage, &batch).unwrap().output
}

fn rows(x: &Tensor) -> Batch {
    Batch::of(x.shallow_clone())
}

/// Greatest difference relative to the golden's scale.
fn difference(found: &Tensor, golden: &Tensor) -> f64 {
    assert_eq!(found.size(), golden.size());
    assert_eq!(found.kind(), Kind::Float);
    ((found - golden).abs().max() / golden.abs().max()).double_value(&[])
}

/// Differences of every golden, by the name of its case.
fn compare(model: &dyn Model, goldens: &Goldens) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    for (name, golden) in goldens {
        let of = |what: &str| goldens[&name.replace("out", what)].shallow_clone();
        let output = if let Some(skip) = name.strip_prefix("text.skip") {
            forward(model, Stage::Embed, Batch { skip: skip.parse().unwrap(), ..rows(&goldens["text.ids"]) })
        } else if !name.ends_with(".out") {
            continue;
        } else if name.starts_with("unet") {
            let t = Vec::<f64>::try_from(of("t").to_kind(Kind::Double)).unwrap();
            let cond = Conditioning::none().with("context", of("context"));
            forward(model, Stage::Predict, Batch { t, cond, ..rows(&of("x")) })
        } else if name.starts_with("decode") {
            forward(model, Stage::Decode, rows(&of("x")))
        } else {
            forward(model, Stage::Encode, rows(&of("x")))
        };
        found.insert(name.clone(), difference(&output, golden));
    }
    found
}

fn shown(found: &BTreeMap<String, f64>) -> String {
    found.iter().map(|(name, difference)| format!("{name} {difference:.1e} ")).collect()
}

fn check(dir: &Path, file: &str, cases: usize) {
    let goldens = goldens(file);
    for model in load(dir, Kind::Float) {
        let found = compare(model.as_ref(), &goldens);
        println!("{file}: {}", shown(&found));
        assert_eq!(found.len(), cases);
        assert!(found.values().all(|difference| *difference <= 1e-4), "{file}: {found:#?}");
    }
}

#[test]
fn the_embedded_model_agrees() {
    check(&emoji64(), "emoji64.safetensors", 3 + 5 + 2 + 2);
}

/// 2022 names of the autoencoder's attention, `text_model.` before the text encoder's, `position_ids` among them.
#[test]
fn the_layout_of_stable_diffusion_1_5_agrees() {
    check(tiny("sd15").path(), "sd15/golden.safetensors", 3 + 2 + 1 + 1);
}

/// Linear projections, heads for each block, exact GELU, v prediction.
#[test]
fn the_layout_of_stable_diffusion_2_1_agrees() {
    check(tiny("sd21").path(), "sd21/golden.safetensors", 4 + 2 + 1 + 1);
}

#[test]
fn narrow_numbers_come_close() {
    let goldens = goldens("emoji64.safetensors");
    for model in load(&emoji64(), Kind::BFloat16) {
        let found = compare(model.as_ref(), &goldens);
        println!("bf16: {}", shown(&found));
        assert!(found.values().all(|difference| *difference <= 0.05), "{found:#?}");
        assert!(found.values().any(|difference| *difference > 1e-4), "bf16 was not used");
    }
}

#[test]
fn cards_say_what_the_files_say() {
    let card = |dir: &Path| (family(dir).unwrap().card)(dir).unwrap();
    let emoji = card(&emoji64());
    assert_eq!((&*emoji.id, emoji.latent, emoji.factor, emoji.multiple), ("emoji64", [4, 16, 16], 4, 16));
    assert_eq!((emoji.prediction, emoji.steps_offset, emoji.native()), (Prediction::Epsilon, 1, (64, 64)));
    assert_eq!((emoji.defaults.title.as_str(), emoji.defaults.steps), ("Emoji 64", 25));
    assert_eq!((emoji.sha256.len(), emoji.text.unwrap().layers), (64, 3));
    let alphas = [0, 500, 999].map(|t| emoji.process.at(f64::from(t)).alpha);
    // sqrt(alphas_cumprod) of diffusers for scaled_linear 0.00085 to 0.012.
    for (alpha, golden) in alphas.into_iter().zip([0.999_574_909_6, 0.525_673_552_5, 0.068_264_914_2]) {
        assert!((alpha - golden).abs() < 1e-9, "{alpha} {golden}");
    }
    let second = card(tiny("sd21").path());
    assert_eq!((second.latent, second.factor, second.multiple), ([4, 96, 96], 8, 64));
    assert_eq!((second.prediction, second.text.unwrap().layers), (Prediction::VPrediction, 4));
    assert_eq!((second.defaults.sampler.as_str(), second.defaults.schedule.as_str()), ("ddim", "leading"));
}

#[test]
fn a_stage_refuses_what_it_cannot_do() {
    let model = &load(&emoji64(), Kind::Float)[0];
    let ids = Tensor::zeros([1, 24], (Kind::Int64, Device::Cpu));
    assert!(model.forward(Stage::Embed, &Batch { skip: 3, ..rows(&ids) }).is_err());
    let latents = Tensor::zeros([1, 4, 16, 16], (Kind::Float, Device::Cpu));
    let error = model.forward(Stage::Predict, &Batch { t: vec![1.0], ..rows(&latents) }).unwrap_err();
    assert!(error.to_string().contains("context"));
}
