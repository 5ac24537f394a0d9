//! Two models on one path: a second one answers at its noisy end.

use std::{fs, os::unix::fs::symlink};

use darkroom::{
    ask::Net,
    denoiser::{Prediction, Stitch},
    model::{
        Model,
        gaussian::{Gaussian, degraded},
    },
    process::{Grid, Named},
};
use serde_json::{Value, json};
use tch::Tensor;
use tempfile::TempDir;

use crate::{
    folders::root,
    support::{
        exact::{apart, around, drive_of, run, sample, solver, uniform_lambda},
        restoring::{noisy, pictures},
        server::{Home, Server},
    },
};

/// A folder of models that share an autoencoder: `large`, `twin` with the same network, `other` whose network's output is
/// taken for something else.
fn models() -> TempDir {
    let (folder, model) = (tempfile::tempdir().unwrap(), root().join("models/emoji64"));
    symlink(&model, folder.path().join("large")).unwrap();
    symlink(&model, folder.path().join("twin")).unwrap();
    let other = folder.path().join("other");
    fs::create_dir_all(other.join("scheduler")).unwrap();
    for entry in fs::read_dir(&model).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != "scheduler") {
        symlink(entry.path(), other.join(entry.file_name())).unwrap();
    }
    let config = fs::read_to_string(model.join("scheduler/scheduler_config.json")).unwrap();
    let config = config.replace("\"epsilon\"", "\"v_prediction\"");
    fs::write(other.join("scheduler/scheduler_config.json"), config).unwrap();
    folder
}

async fn picture(server: &Server, wrap: Value) -> Vec<u8> {
    let sampler = json!({"name": "dpmpp_2m", "wrap": wrap});
    let job = server.make(json!({"prompt": "a heart", "seed": 7, "steps": 5, "sampler": sampler})).await;
    assert_eq!(job["usage"]["evaluations"], 5, "{job}");
    let image = server.get(job["images"][0]["url"].as_str().unwrap()).send().await.unwrap().bytes().await.unwrap();
    image::load_from_memory(&image).unwrap().to_rgb8().into_raw()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_model_answers_for_its_share_of_the_steps() {
    let models = models();
    let dir = models.path().display().to_string();
    let home = Home::new().with("models__dir", &dir).with("models__default", "large");
    let server = home.start();
    let bare = picture(&server, json!([])).await;
    let stitched = |model: &str, fraction: f64| json!([{"name": "stitch", "model": model, "fraction": fraction}]);
    for fraction in [0.0, 0.4, 1.0] {
        assert_eq!(picture(&server, stitched("twin", fraction)).await, bare, "equal networks at {fraction}");
    }
    assert_eq!(picture(&server, stitched("other", 0.0)).await, bare, "no step is the other's");
    let (some, all) = (picture(&server, stitched("other", 0.4)).await, picture(&server, stitched("other", 1.0)).await);
    assert!(some != bare && all != bare && some != all);
    // A level between the steps that are the second model's and the rest says the same as their share.
    let until = json!([{"name": "stitch", "model": "other", "until": 1e6}]);
    assert_eq!(picture(&server, until).await, bare, "nothing is above that level");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_of_different_latent_spaces_are_not_stitched() {
    let home = Home::new();
    let server = home.start();
    let wish = json!({"sampler": {"name": "ddim", "wrap": [{"name": "stitch", "model": "emoji64"}]}});
    let answer: Value = server.post("/v1/generations", &wish).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["errors"][0]["pointer"], "/sampler/wrap/0/model", "{answer}");
    assert!(answer.to_string().contains("latent space"), "{answer}");
}

/// The end of a run of the first model in which the second answers above a ratio of 1.
fn stitched(first: &Gaussian, second: &Gaussian, grid: &Grid, x: &Tensor) -> Tensor {
    let net = Net::default();
    let of = |model| run(model, &net, grid, x, &[1, 2, 3]);
    let (mut run, mut network) = (of(first), of(second).denoiser.network);
    network.model = "second".into();
    run.denoiser.stitches.push(Stitch { network, above: 1.0, process: second.card().process.clone() });
    let model = |id: &str| -> &dyn Model { if id == "second" { second } else { first } };
    drive_of(&net, model, solver(&json!("dpmpp_2m")).sample(run)).unwrap()
}

/// Models of the same pictures answer alike, whatever the process and the variables of each are.
#[test]
fn a_network_is_asked_at_levels_and_in_states_of_its_own() {
    let models = Named::ALL.map(|named| around(named.process(), Prediction::Sample, pictures(), degraded));
    for first in &models {
        let process = &first.card().process;
        let grid = uniform_lambda(&**process, -1.5, 2.0, 6);
        let x = noisy() * grid.first().sigma;
        let alone = sample(first, solver(&json!("dpmpp_2m")), &grid, &x, &[1, 2, 3]);
        for second in &models {
            let off = apart(&stitched(first, second, &grid, &x), &alone);
            let names = (process.name(), second.card().process.name());
            assert!(off < 1e-7 && second.counted().0 > 0, "{names:?}: {off:e} apart");
        }
    }
}
