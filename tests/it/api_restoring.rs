//! Models of restoring processes over HTTP.

use darkroom::{
    denoiser::Prediction,
    model::gaussian::{Mixture, degraded},
    noise::Noise,
    pixels::latents,
    process::Named,
    sampler::SAMPLERS,
    schedule::{End, Ends, Ground, SCHEDULES, Start, Time},
};
use serde_json::{Map, json};
use tch::{Device, Kind, Tensor};

use crate::support::{
    app::TestApp,
    exact::{apart, around, coordinates, sample, solver},
};

const PROCESSES: [(Named, Prediction, &str); 3] = [
    (Named::MeanReverting, Prediction::Epsilon, "mean_reverting"),
    (Named::Residual, Prediction::Residual, "residual"),
    (Named::Resfusion, Prediction::ResidualNoise, "resfusion"),
];
const STEPS: usize = 4;
const SEED: u64 = 11;

async fn start(process: Named, prediction: Prediction) -> TestApp {
    TestApp::with(|config| {
        config.models.gaussian.process = process;
        config.models.gaussian.prediction = prediction;
    })
    .await
}

/// What a request ends in, in f64 and without the service.
fn expected(process: Named, prediction: Prediction) -> Tensor {
    let process = process.process();
    let pictures = Mixture::waves(64, Device::Cpu);
    let model = around(process.clone(), prediction, pictures, degraded);
    let ground = Ground { process: &*process, offset: 0, latent: [1, 8, 8] };
    let trailing = SCHEDULES.iter().find(|kind| kind.entry.name == "trailing").unwrap().entry.read(Map::new()).unwrap();
    let ends = Ends { start: Start::Unit, time: Time::Integer, end: End::Zero };
    let grid = trailing.grid(&ground, STEPS, &ends).unwrap();
    let z = Noise::new(vec![SEED], &[1, 1, 64], Kind::Double, Device::Cpu).start();
    let y = z * ends.start.scale(&grid.first());
    let end = sample(&model, solver(&json!("ddim")), &grid, &y, &[SEED]);
    coordinates(&model).0.picture(&end, &grid.last())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_starts_from_the_models_own_degraded_picture() {
    for (process, prediction, name) in PROCESSES {
        let app = start(process, prediction).await;
        assert_eq!(app.get("/v1/models/gaussian").await.json()["process"], name);
        let wish = json!({"sampler": "ddim", "schedule": "trailing", "steps": STEPS, "seed": SEED,
            "output": {"format": "safetensors"}});
        let job = app.generate(&wish).await;
        let file = app.get(job["files"][0]["url"].as_str().unwrap()).await.body;
        let made: Vec<f64> = latents::read(&file, [1, 8, 8]).unwrap().into_iter().map(f64::from).collect();
        let made = Tensor::from_slice(&made).view([1, 1, 1, 64]);
        let off = apart(&made, &expected(process, prediction));
        assert!(off < 1e-4, "{name}: {off:e} apart");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sampler_makes_pictures_of_every_process() {
    for (process, prediction, name) in PROCESSES {
        let app = start(process, prediction).await;
        for sampler in SAMPLERS {
            // Guided, so that the degraded picture goes along with the rows of both branches.
            let wish = json!({"sampler": sampler.entry.name, "guidance": 2, "label": 1, "steps": 6, "count": 2,
                "preview_every": 1});
            let job = app.generate(&wish).await;
            assert_eq!(job["status"], "succeeded", "{name} {}: {job}", sampler.entry.name);
            assert_eq!(job["images"].as_array().unwrap().len(), 2, "{name} {}", sampler.entry.name);
        }
    }
}
