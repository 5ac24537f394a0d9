//! Model files that are broken, hostile, sharded, or do not fit their configuration.

use std::{collections::BTreeMap, fs, sync::Arc};

use darkroom::{
    error::Result,
    model::{Weights, family, format::safetensors},
};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

use crate::folders::{edit, tiny};

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";

/// A safetensors document with this header and so many bytes of data.
fn document(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

fn one(shape: &str, offsets: &str) -> String {
    format!(r#"{{"latents":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
}

fn load(folder: &TempDir) -> Result<Weights> {
    let family = family(folder.path())?;
    let card = Arc::new((family.card)(folder.path())?);
    let weights = (family.weights)(&card, Device::Cpu, Kind::Float)?;
    (family.build)(&card, &weights)?;
    Ok(weights)
}

fn refusal(folder: &TempDir) -> String {
    load(folder).expect_err("this folder must not load").to_string()
}

/// C59: sizes that wrap, lengths near 2^64, offsets past the end, reversed, overlapping; negative sizes.
#[test]
fn hostile_headers_are_refused() {
    let two = |a: &str, b: &str| {
        let entry = |name: &str, at: &str| format!(r#""{name}":{{"dtype":"U8","shape":[2],"data_offsets":{at}}}"#);
        format!("{{{},{}}}", entry("a", a), entry("b", b))
    };
    let hostile = [
        (document(&one("[4294967296,4294967296]", "[0,0]"), 0), "latents"),
        (document(&one("[2]", "[0,8]"), 4), "latents"),
        (document(&one("[2]", "[8,0]"), 8), "latents"),
        (document(&one("[2]", "[18446744073709551608,0]"), 8), "latents"),
        (document(&one("[-1]", "[0,4]"), 4), "latents"),
        (document(&one("[1.5]", "[0,6]"), 6), "latents"),
        (document(&one("[1]", "[0,4]").replace("F32", "F33"), 4), "F33"),
        (document(&one("[1]", "[4,8]"), 8), "latents"),
        (document(&one("[1]", "[0,4]"), 9), "belong to none"),
        (document(&two("[0,2]", "[1,3]"), 3), "overlaps"),
        (document("[]", 0), "object"),
        (document("{", 0), "JSON"),
        (vec![0xff; 8], "room"),
        (vec![0xff; 64], "room"),
        (vec![1, 2, 3], "8 bytes"),
    ];
    for (bytes, word) in hostile {
        let error = safetensors::from_bytes(&bytes).unwrap_err();
        assert!(error.contains(word), "{error}");
        let folder = tiny("sd15");
        fs::write(folder.path().join(UNET), &bytes).unwrap();
        let error = refusal(&folder);
        assert!(error.contains(word) && error.contains(UNET), "{error}");
    }
}

#[test]
fn a_document_is_read_back() {
    let mut bytes = document(r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#, 0);
    bytes.extend([0x00, 0x3c, 0x00, 0xc0]);
    let tensors = safetensors::from_bytes(&bytes).unwrap();
    assert_eq!(tensors[0].0, "a");
    assert_eq!(tensors[0].1, Tensor::from_slice(&[1f32, -2.0]).to_kind(Kind::Half));
}

type Tensors = BTreeMap<String, Tensor>;

fn tensors(folder: &TempDir, file: &str) -> Tensors {
    safetensors::from_bytes(&fs::read(folder.path().join(file)).unwrap()).unwrap().into_iter().collect()
}

fn save(folder: &TempDir, file: &str, tensors: &Tensors) {
    let named: Vec<_> = tensors.iter().collect();
    Tensor::write_safetensors(&named, folder.path().join(file)).unwrap();
}

fn change(file: &str, change: impl FnOnce(&mut Tensors)) -> String {
    let folder = tiny("sd15");
    let mut held = tensors(&folder, file);
    change(&mut held);
    save(&folder, file, &held);
    refusal(&folder)
}

/// D12: what is missing, too much or of another shape is named.
#[test]
fn tensors_that_do_not_fit_are_named() {
    let plain = "mid_block.resnets.0.conv1.weight";
    let fused = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k.weight";
    let time = "up_blocks.2.resnets.1.time_emb_proj.bias";
    for name in [plain, fused, time] {
        let missing = change(UNET, |held| drop(held.remove(name).unwrap()));
        assert!(missing.contains(name) && missing.contains("missing"), "{missing}");
        let misshapen = change(UNET, |held| {
            held.insert(name.into(), Tensor::zeros([3], (Kind::Float, Device::Cpu)));
        });
        assert!(misshapen.contains(name) && misshapen.contains("[3]"), "{misshapen}");
    }
    for file in [UNET, "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"] {
        let extra = change(file, |held| {
            held.insert("lora.down".into(), Tensor::zeros([1], (Kind::Float, Device::Cpu)));
        });
        assert!(extra.contains("lora.down"), "{extra}");
    }
    let integer = change(UNET, |held| {
        held.insert("conv_in.bias".into(), Tensor::zeros([8], (Kind::Int64, Device::Cpu)));
    });
    assert!(integer.contains("conv_in.bias") && integer.contains("floating-point"), "{integer}");
}

/// The same weights in one file, in two with an index, in other number types, or under the name of their variant.
#[test]
fn the_same_weights_load_from_any_layout() {
    let bytes = load(&tiny("sd15")).unwrap().bytes();
    let sharded = tiny("sd15");
    let held = tensors(&sharded, UNET);
    let (first, second): (Tensors, Tensors) = held.into_iter().partition(|(name, _)| name.starts_with("down"));
    fs::remove_file(sharded.path().join(UNET)).unwrap();
    let parts = [("a.safetensors", &first), ("b.safetensors", &second)];
    let mut map = serde_json::Map::new();
    for (file, held) in parts {
        save(&sharded, &format!("unet/{file}"), held);
        map.extend(held.keys().map(|name| (name.clone(), Value::from(file))));
    }
    let index = sharded.path().join(format!("{UNET}.index.json"));
    fs::write(&index, json!({"metadata": {}, "weight_map": map}).to_string()).unwrap();
    assert_eq!(load(&sharded).unwrap().bytes(), bytes);
    for odd in ["../a.safetensors", "/a.safetensors", "unet/../a.safetensors"] {
        fs::write(&index, json!({"weight_map": {"conv_in.bias": odd}}).to_string()).unwrap();
        assert!(refusal(&sharded).contains(odd));
    }
    fs::write(&index, json!({"weight_map": {"conv_in.bias": "a.safetensors"}}).to_string()).unwrap();
    assert!(refusal(&sharded).contains("conv_in.bias"));

    for kind in [Kind::BFloat16, Kind::Float, Kind::Double] {
        let other = tiny("sd15");
        let held = tensors(&other, UNET).into_iter().map(|(name, tensor)| (name, tensor.to_kind(kind))).collect();
        save(&other, UNET, &held);
        fs::rename(other.path().join(UNET), other.path().join(UNET.replace(".safe", ".fp16.safe"))).unwrap();
        assert_eq!(load(&other).unwrap().bytes(), bytes);
    }
}

fn configured(file: &str, key: &str, value: Value) -> Result<Weights> {
    let folder = tiny("sd15");
    edit(&folder, file, |config| config[key] = value);
    load(&folder)
}

#[test]
fn options_that_are_not_implemented_are_named() {
    let unet = [
        ("act_fn", json!("gelu")),
        ("addition_embed_type", json!("text_time")),
        ("attention_type", json!("gated")),
        ("class_embed_type", json!("timestep")),
        ("num_class_embeds", json!(1000)),
        ("dual_cross_attention", json!(true)),
        ("encoder_hid_dim", json!(768)),
        ("in_channels", json!(5)),
        ("mid_block_scale_factor", json!(1.4)),
        ("mid_block_type", json!("UNetMidBlock2DSimpleCrossAttn")),
        ("resnet_time_scale_shift", json!("scale_shift")),
        ("time_embedding_type", json!("fourier")),
        ("down_block_types", json!(["AttnDownBlock2D", "DownBlock2D", "DownBlock2D", "DownBlock2D"])),
        ("an_option_of_the_future", json!(3)),
        ("attention_head_dim", json!([1, 2])),
        ("attention_head_dim", json!(5)),
        ("layers_per_block", json!("two")),
    ];
    let vae = [("latents_mean", json!([0.0])), ("shift_factor", json!(0.1)), ("act_fn", json!("relu"))];
    let text = [("hidden_act", json!("relu"))];
    let cases = unet.map(|(key, value)| ("unet/config.json", key, value)).into_iter();
    let cases = cases.chain(vae.map(|(key, value)| ("vae/config.json", key, value)));
    for (file, key, value) in cases.chain(text.map(|(key, value)| ("text_encoder/config.json", key, value))) {
        let error = configured(file, key, value.clone()).expect_err(key).to_string();
        assert!(error.contains(key), "{key}: {value}: {error}");
    }
    assert!(configured("unet/config.json", "dropout", json!(0.1)).is_ok());
    assert!(configured("unet/config.json", "an_option_of_the_future", json!(null)).is_ok());
}

#[test]
fn a_tokenizer_beyond_the_text_encoder_is_refused() {
    let error = configured("text_encoder/config.json", "vocab_size", json!(40)).unwrap_err().to_string();
    assert!(error.contains("token id 53 is beyond the text encoder's `vocab_size` 40"), "{error}");
}

/// Twice the channels are a prediction and a variance, where the scheduler says so.
#[test]
fn a_learned_variance_comes_in_as_many_channels_again() {
    let folder = tiny("sd15");
    edit(&folder, "unet/config.json", |config| config["out_channels"] = 8.into());
    let mut all = tensors(&folder, UNET);
    for name in ["conv_out.weight", "conv_out.bias"] {
        let twice = Tensor::cat(&[&all[name], &all[name]], 0);
        all.insert(name.into(), twice);
    }
    save(&folder, UNET, &all);
    let error = refusal(&folder);
    assert!(error.contains("`variance_type` must be learned_range"), "{error}");
    edit(&folder, "scheduler/scheduler_config.json", |config| config["variance_type"] = "learned_range".into());
    assert!(load(&folder).is_ok());
    let card = (family(folder.path()).unwrap().card)(folder.path()).unwrap();
    assert!(card.learns_variance && card.latent[0] == 4);
}

/// C62: where there is no signal, the noise says nothing about the picture.
#[test]
fn zero_terminal_processes_need_another_prediction_than_epsilon() {
    let file = "scheduler/scheduler_config.json";
    let error = configured(file, "rescale_betas_zero_snr", json!(true)).unwrap_err().to_string();
    assert!(error.contains("rescale_betas_zero_snr") && error.contains("prediction_type"), "{error}");
    let folder = tiny("sd21");
    edit(&folder, file, |config| config["rescale_betas_zero_snr"] = true.into());
    let card = (family(folder.path()).unwrap().card)(folder.path()).unwrap();
    assert_eq!(card.process.at(999.0).alpha, 0.0);
    assert!(card.process.at(998.0).alpha > 0.0);
}

#[test]
fn schedulers_say_what_the_process_is() {
    let file = "scheduler/scheduler_config.json";
    let last = |change: fn(&mut Value)| {
        let folder = tiny("sd15");
        edit(&folder, file, change);
        (family(folder.path()).unwrap().card)(folder.path()).map(|card| card.process.at(999.0).alpha)
    };
    // sqrt(alphas_cumprod[-1]) of diffusers.
    type Change = fn(&mut Value);
    let goldens: [(Change, f64); 3] = [
        (|config| config["beta_schedule"] = "linear".into(), 0.039_736_2),
        (|config| config["beta_schedule"] = "squaredcos_cap_v2".into(), 4.928_25e-5),
        (|config| config["trained_betas"] = vec![0.01; 1000].into(), 0.006_570_5),
    ];
    for (change, golden) in goldens {
        let found = last(change).unwrap();
        assert!((found / golden - 1.0).abs() < 1e-4, "{found} {golden}");
    }
    assert!(last(|config| config["beta_schedule"] = "sigmoid".into()).is_err());
    assert!(last(|config| config["beta_end"] = 2.0.into()).is_err());
    assert!(last(|config| config["prediction_type"] = "score".into()).is_err());
}

#[test]
fn the_fingerprint_follows_what_is_computed() {
    let hash = |folder: &TempDir| (family(folder.path()).unwrap().card)(folder.path()).unwrap().sha256;
    let folder = tiny("sd15");
    let before = hash(&folder);
    fs::write(folder.path().join("darkroom.json"), r#"{"title": "Another", "steps": 3}"#).unwrap();
    fs::write(folder.path().join("README.md"), "x").unwrap();
    assert_eq!(hash(&folder), before);
    edit(&folder, "vae/config.json", |config| config["scaling_factor"] = 0.2.into());
    assert_ne!(hash(&folder), before);
    fs::write(folder.path().join("darkroom.json"), r#"{"titel": "Another"}"#).unwrap();
    assert!(refusal(&folder).contains("titel"));
}
