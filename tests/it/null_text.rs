//! Null-text inversion on a network whose noise is linear in the text, where what it looks for is known to be there.

use std::{rc::Rc, sync::Arc};

use darkroom::{
    ask::{Answer, Conditioning, Net, Rows, Stage},
    denoiser::{Conditions, Coordinates, Denoiser, Network, Prediction},
    edit::{self, Target},
    error::Result,
    model::{Batch, Card, Model, gaussian::card_of},
    noise::Noise,
    process::{Grid, Named},
    sampler::Run,
};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use crate::support::exact::{apart, drive, guidance, solver};

/// `eps = 0.6 x + mean over the tokens of the text`, the text `[n, 3, 4]`, the state `[n, 1, 2, 2]`.
struct Linear(Arc<Card>);

impl Model for Linear {
    fn card(&self) -> &Arc<Card> {
        &self.0
    }

    fn forward(&self, _stage: Stage, batch: &Batch) -> Result<Answer> {
        let text = batch.cond.get("context").unwrap().mean_dim([1i64].as_slice(), false, None);
        Ok(Answer::of(&batch.x * 0.6 + text.view([-1, 1, 2, 2])))
    }
}

fn text(value: f64) -> Tensor {
    let waves = Tensor::linspace(-1.0, 1.0, 12, (Kind::Double, Device::Cpu)).view([1, 3, 4]);
    waves * value + 0.1 * value
}

fn run(model: &Linear, grid: &Grid, x: &Tensor, scale: f64) -> Run {
    let card = model.card();
    let cond = |value: f64| Conditioning::none().with("context", text(value));
    let network = Network {
        model: card.id.clone(),
        prediction: card.prediction,
        coordinates: Rc::new(Coordinates::new(card.process.clone(), None)),
        conditions: Conditions::new(cond(0.3), cond(-0.2)),
    };
    let denoiser = Denoiser {
        net: Net::default(),
        network,
        stitches: Vec::new(),
        guidance: guidance(&json!({"name": "cfg", "scale": scale})).into(),
        corrections: Vec::new(),
        threshold: None,
        anchor: None,
        tap: None,
        grid: grid.clone(),
        lanes: 1,
        pictures: 1,
        rows: Rows { first: 0, of: 1 },
    };
    let noise = Noise::new(vec![1], &x.size()[1..], x.kind(), Device::Cpu);
    let (process, grid, x) = (card.process.clone(), grid.clone(), x.shallow_clone());
    Run { denoiser, noise, process, grid, x, warm: Vec::new(), hooks: Vec::new() }
}

/// How far an edit under the picture's own prompt ends from it, with so many iterations of such a rate at most.
fn left(iterations: u32, rate: f64) -> f64 {
    let process = Named::ScaledLinear.process();
    let levels = (0..20).rev().map(|k| process.at(f64::from(k * 50 + 1)));
    let grid = Grid::new(levels.chain([process.clean()]).collect());
    let model = Linear(Arc::new(card_of([1, 2, 2], process, Prediction::Epsilon, b"linear")));
    let x = Tensor::from_slice(&[0.5, -0.3, 0.8, 0.1]).view([1, 1, 2, 2]);
    let method =
        edit::read(&json!({"name": "null_text", "iterations": iterations, "rate": rate, "tolerance": 1e-6})).unwrap();
    let (invert, ddim) = (method.invert().unwrap(), solver(&json!("ddim")));
    let back = run(&model, &grid, &x, 7.5);
    let net = back.denoiser.net.clone();
    let code = drive(&net, &model, invert.find(back, &*ddim)).unwrap();
    let walk = run(&model, &grid, &x, 7.5);
    let net = walk.denoiser.net.clone();
    let source = Conditions::new(
        walk.denoiser.network.conditions.positive().clone(),
        walk.denoiser.network.conditions.negative().clone(),
    );
    let target = Target { run: walk, source, solver: &*ddim, words: None, factor: 1 };
    apart(&drive(&net, &model, invert.edit(&code, target)).unwrap(), &x)
}

#[test]
fn the_learned_text_leads_back_to_the_picture() {
    let found: Vec<_> = [1, 10, 100].map(|iterations| left(iterations, 1e-2)).into();
    assert!(left(10, 1e-5) > 1.0, "a rate that is too low learns nothing");
    assert!(found[0] > 1.0 && found[1] < 0.02 && found[2] < 0.02, "{found:?}");
}
