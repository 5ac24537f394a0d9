//! UNets that are told a mask and a masked picture: the embedded model widened, against diffusers.

use std::{collections::BTreeMap, fs};

use darkroom::{
    ask::{Ask, Conditioning, Stage},
    config::Switch,
    model::{Batch, Model, family, format::safetensors},
};
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

use crate::{
    folders::{edit, emoji64, root},
    support::{
        app::TestApp,
        exact::apart,
        networks::{self, ask, built, context, host, together},
        pictures::{mask, noise, png, psnr, url},
    },
};

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";

fn read(bytes: &[u8]) -> BTreeMap<String, Tensor> {
    safetensors::from_bytes(bytes).unwrap().into_iter().collect()
}

fn goldens(name: &str) -> BTreeMap<String, Tensor> {
    read(&fs::read(root().join("tests/data/goldens").join(name)).unwrap())
}

/// The embedded model with five more channels in, whose weights are `scale` times those of make_inpaint_goldens.py.
fn widened(scale: f64) -> TempDir {
    let folder = emoji64();
    edit(&folder, "unet/config.json", |config| config["in_channels"] = 9.into());
    let path = folder.path().join(UNET);
    let mut tensors = read(&fs::read(&path).unwrap());
    let narrow = tensors["conv_in.weight"].to_kind(Kind::Float);
    let shape = [narrow.size()[0], 5, 3, 3];
    let waves =
        (Tensor::arange(shape.iter().product::<i64>(), (Kind::Double, Device::Cpu)) * 0.37).sin() * 0.05 * scale;
    let wide = Tensor::cat(&[narrow, waves.to_kind(Kind::Float).view(shape)], 1);
    tensors.insert("conv_in.weight".into(), wide);
    Tensor::write_safetensors(&tensors.iter().collect::<Vec<_>>(), path).unwrap();
    folder
}

/// The second case of the embedded model's goldens.
fn case() -> Batch {
    let goldens = goldens("emoji64.safetensors");
    let of = |name: &str| goldens[&format!("unet1.{name}")].shallow_clone();
    let t = Vec::<f64>::try_from(of("t").to_kind(Kind::Double)).unwrap();
    Batch { t, cond: Conditioning::none().with("context", of("context")), ..Batch::of(of("x")) }
}

fn beside(batch: Batch, concat: &Tensor) -> Batch {
    Batch { cond: batch.cond.clone().with("concat", concat.shallow_clone()), ..batch }
}

fn predict(model: &dyn Model, batch: &Batch) -> Tensor {
    model.forward(Stage::Predict, batch).unwrap().output
}

#[test]
fn a_widened_network_agrees() {
    let folder = widened(1.0);
    let card = (family(folder.path()).unwrap().card)(folder.path()).unwrap();
    assert_eq!((card.inpaints, card.latent), (true, [4, 16, 16]));
    let (model, goldens) = (built(folder.path(), Kind::Float), goldens("inpaint.safetensors"));
    let found = predict(model.as_ref(), &beside(case(), &goldens["concat"]));
    let difference = apart(&found, &goldens["out"]) / goldens["out"].abs().max().double_value(&[]);
    assert!(difference < 1e-4, "{difference}");
    let error = model.forward(Stage::Predict, &case()).unwrap_err().to_string();
    assert!(error.contains("`concat`"), "{error}");
}

#[test]
fn a_network_that_does_not_look_says_what_the_narrow_one_says() {
    let narrow = networks::emoji64(Kind::Float);
    assert!(!narrow.card().inpaints);
    let folder = widened(0.0);
    let wide = built(folder.path(), Kind::Float);
    let concat = &goldens("inpaint.safetensors")["concat"];
    assert_eq!(predict(narrow.as_ref(), &case()), predict(wide.as_ref(), &beside(case(), concat)));
}

/// It warms up in the engine, and rows under unlike masks share a forward.
#[test]
fn the_engine_serves_it() {
    let folder = widened(1.0);
    let model = built(folder.path(), Kind::Float);
    let text = context(model.as_ref(), &["sun", "snail"]);
    let concat = &goldens("inpaint.safetensors")["concat"];
    let told = |seed, concat: &Tensor| {
        let plain = ask(model.as_ref(), &text, seed);
        Ask { cond: plain.cond.clone().with("concat", concat.shallow_clone()), ..plain }
    };
    let free = model.card().unmasked([4, 16, 16], Device::Cpu).unwrap();
    let asks = [told(1, concat), told(1, &free.expand([2, 5, 16, 16], false))];
    let host = host(model, Switch::Off);
    let shared: Vec<_> = together(&host, &[&asks[0], &asks[1]]).into_iter().map(Result::unwrap).collect();
    for (ask, shared) in asks.iter().zip(&shared) {
        assert!(apart(&together(&host, &[ask]).remove(0).unwrap().output, &shared.output) < 1e-4);
    }
    assert!(apart(&shared[0].output, &shared[1].output) > 0.05, "the mask is looked at");
}

/// A model in a folder that holds nothing else.
fn alone(scale: f64) -> (TempDir, TempDir) {
    let (model, home) = (widened(scale), TempDir::new().unwrap());
    fs::rename(model.path(), home.path().join("wide")).unwrap();
    (model, home)
}

/// `inpaint` tells the network what is kept; one that does not look makes what it would make without, and pixels that the
/// mask keeps come back to the byte.
#[tokio::test(flavor = "multi_thread")]
async fn edits_tell_it_what_is_kept() {
    let picture = noise(64, 64);
    let body = serde_json::json!({
        "image": url(&png(&picture)), "mask": url(&png(&mask(64, 64, |x, _| x >= 32))), "prompt": "red heart", "steps": 4,
        "seed": 9, "guidance": 2,
    });
    let plain = serde_json::json!({"prompt": "red heart", "steps": 4, "seed": 9, "guidance": 2});
    let mut seen = Vec::new();
    for scale in [0.0, 1.0] {
        let (_gone, home) = alone(scale);
        let app = TestApp::with(|config| {
            config.models.dir = home.path().to_owned();
            config.models.default = "wide".into();
        })
        .await;
        let made = app.edit(&body).await;
        assert_eq!((&made["status"], &made["usage"]["evaluations"]), (&"succeeded".into(), &4.into()), "{made}");
        let (edited, generated) = (app.pixels(&made, 0).await, app.pixels(&app.generate(&plain).await, 0).await);
        for (x, y, pixel) in edited.enumerate_pixels().filter(|(x, ..)| *x < 32) {
            assert_eq!(pixel, picture.get_pixel(x, y));
        }
        let right = |picture: &image::RgbImage| image::imageops::crop_imm(picture, 32, 0, 32, 64).to_image();
        seen.push((psnr(&right(&edited), &right(&generated)), right(&edited)));
        let other = serde_json::json!({"image": body["image"], "mask": url(&png(&mask(64, 64, |_, y| y >= 32))),
            "prompt": "red heart", "steps": 4, "seed": 9, "guidance": 2});
        let other = app.pixels(&app.edit(&other).await, 0).await;
        let both = |picture: &image::RgbImage| image::imageops::crop_imm(picture, 40, 40, 24, 24).to_image();
        seen.push((psnr(&both(&edited), &both(&other)), right(&other)));
    }
    assert!(seen[0].0 > 50.0 && seen[1].0 > 50.0, "it does not look: {} {}", seen[0].0, seen[1].0);
    assert!(seen[2].0 < 45.0 && seen[3].0 < 45.0, "it looks: {} {}", seen[2].0, seen[3].0);
}
