//! What is done to clean pictures is done to pictures, not to the states of the solver.

use darkroom::{
    ask::Net,
    denoiser::Prediction,
    model::{
        Model,
        gaussian::{Gaussian, degraded},
    },
    process::Named,
};
use serde_json::{Value, json};
use tch::Tensor;

use crate::support::{
    exact::{apart, around, coordinates, finish, run, solver},
    restoring::{grid, known},
};

const RESTORING: [Named; 3] = [Named::MeanReverting, Named::Residual, Named::Resfusion];

/// The model of one known picture with a value out of range.
fn bright(named: Named) -> Gaussian {
    around(named.process(), Prediction::Sample, known([1.5, -0.2]), degraded)
}

/// The end and the last preview of a run of three steps, in pictures.
fn ends(model: &Gaussian, sampler: &Value) -> [Tensor; 2] {
    let (low, high) = model.card().process.range();
    let grid = grid(model, &[high, 0.5 * (low + high), low], true);
    let net = Net::default();
    let x = Tensor::from_slice(&[0.3, -0.8]).view([1, 1, 1, 2]);
    let end = finish(model, solver(sampler), run(model, &net, &grid, &x, &[1]));
    [coordinates(model).0.picture(&end, &grid.last()), net.take_preview().unwrap()]
}

fn picture(values: [f64; 2]) -> Tensor {
    Tensor::from_slice(&values).view([1, 1, 1, 2])
}

#[test]
fn previews_are_pictures() {
    for named in RESTORING {
        for shown in ends(&bright(named), &json!("ddim")) {
            assert!(apart(&shown, &picture([1.5, -0.2])) < 1e-9, "{named:?}");
        }
    }
}

#[test]
fn thresholds_cut_pictures() {
    for named in RESTORING {
        for shown in ends(&bright(named), &json!({"name": "ddim", "threshold": {"p": 0.995, "max": 1.0}})) {
            assert!(apart(&shown, &picture([1.0, -0.2])) < 1e-9, "{named:?}");
        }
    }
}
