//! What the tests of restoring processes share: networks asked in pictures, and steps as they were published.

use std::sync::Arc;

use darkroom::{
    ask::{Conditioning, Stage},
    denoiser::Prediction,
    model::{
        Batch, Model,
        gaussian::{Gaussian, Mixture, degraded},
    },
    noise::Noise,
    process::{Grid, Process},
    sampler::SAMPLERS,
    schedule::{End, Ends, Ground, SCHEDULES},
};
use serde_json::{Map, json};
use tch::{Device, Kind, Tensor};

use super::exact::{apart, around, coordinates, sample, solver};

/// Pictures of two values with two modes.
pub fn pictures() -> Mixture {
    Mixture {
        means: Tensor::from_slice(&[0.6, -0.3, -0.5, 0.2]).view([2, 2]),
        stds: vec![0.1, 0.15],
        weights: vec![0.4, 0.6],
        labels: vec![0, 1],
    }
}

/// A single picture, known to the network.
pub fn known(picture: [f64; 2]) -> Mixture {
    Mixture { means: Tensor::from_slice(&picture).view([1, 2]), stds: vec![0.0], weights: vec![1.0], labels: vec![0] }
}

/// The exact model of [`pictures`] around its own degraded picture.
pub fn model(process: impl Process + 'static, prediction: Prediction) -> Gaussian {
    around(Arc::new(process), prediction, pictures(), degraded)
}

/// Its degraded picture, `[1, 1, 1, 2]`.
pub fn mu() -> Tensor {
    Tensor::from_slice(&degraded([1, 1, 2])).to_kind(Kind::Double).view([1, 1, 1, 2])
}

/// Three noisy pictures `[3, 1, 1, 2]`.
pub fn noisy() -> Tensor {
    Tensor::from_slice(&[0.9, -0.4, -1.1, 0.3, 0.2, 1.3]).view([3, 1, 1, 2])
}

/// What the network says about pictures `[n, 1, 1, 2]` at a time, asked without any adapter.
pub fn ask(model: &Gaussian, x: &Tensor, t: f64) -> Tensor {
    let n = x.size()[0];
    let cond = Conditioning::none().with("concat", mu().expand(x.size(), false));
    let batch = Batch { t: vec![t; n.unsigned_abs() as usize], cond, ..Batch::of(x.shallow_clone()) };
    model.forward(Stage::Predict, &batch).unwrap().output
}

/// The grid of these times of the model, and the clean end if asked for.
pub fn grid(model: &Gaussian, times: &[f64], clean: bool) -> Grid {
    let process = &model.card().process;
    let mut levels: Vec<_> = times.iter().map(|t| process.at(*t)).collect();
    levels.extend(clean.then(|| process.clean()));
    Grid::new(levels)
}

/// The pictures in which a solver ends that starts from the pictures x, through the adapter.
pub fn restore(model: &Gaussian, solver_of: &serde_json::Value, grid: &Grid, x: &Tensor) -> Tensor {
    let adapter = coordinates(model).0;
    let y = adapter.state(x, &grid.first());
    let seeds: Vec<u64> = (0..x.size()[0].unsigned_abs()).collect();
    adapter.picture(&sample(model, solver(solver_of), grid, &y, &seeds), &grid.last())
}

/// The noise that [`restore`] draws at a step.
pub fn drawn(x: &Tensor, step: u32) -> Tensor {
    let seeds = (0..x.size()[0].unsigned_abs()).collect();
    Noise::new(seeds, &x.size()[1..], Kind::Double, Device::Cpu).step(step)
}

/// Every solver ends in the picture that the network knows, after any number of steps of its own habit.
pub fn finds_what_the_network_knows(process: &Arc<dyn Process>, prediction: Prediction) {
    let own = degraded([1, 1, 2]).into_iter().map(f64::from).collect::<Vec<_>>();
    let trailing = SCHEDULES.iter().find(|kind| kind.entry.name == "trailing").unwrap().entry.read(Map::new()).unwrap();
    let ground = Ground { process: &**process, offset: 0, latent: [1, 1, 2] };
    let mut wrong = Vec::new();
    for picture in [[0.7, -0.2], [own[0], own[1]]] {
        let exact = around(process.clone(), prediction, known(picture), degraded);
        let truth = Tensor::from_slice(&picture).view([1, 1, 1, 2]);
        // EDICT mixes two states and ends in neither's estimate; LCM keeps a share of the noisy state at small times.
        for sampler in SAMPLERS.iter().filter(|sampler| !["edict", "lcm"].contains(&sampler.entry.name)) {
            for steps in [1, 2, 5, 10].into_iter().filter(|steps| *steps <= process.train_steps()) {
                let grid = trailing.grid(&ground, steps, &Ends { end: End::Zero, ..sampler.ends }).unwrap();
                let off = apart(&restore(&exact, &json!(sampler.entry.name), &grid, &noisy()), &truth);
                let fine = off < 1e-9;
                if !fine {
                    wrong.push(format!("{} {steps} steps: {off:e}", sampler.entry.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} {prediction:?}: {wrong:#?}", process.name());
}
