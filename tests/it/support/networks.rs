//! Real networks, and asks that share a forward of one as the engine has them.

use std::{path::Path, sync::Arc};

use darkroom::{
    ask::{Answer, Ask, Conditioning, Stage, Want},
    config::{Config, Switch},
    engine::{
        failure::{Piece, attempt, caught},
        host::{Host, Measured},
        rows::{gathered, losses, parted},
    },
    error::Result,
    model::{Batch, Model, family},
    noise::Noise,
};
use tch::{Device, Kind, Tensor};

use crate::folders::root;

/// The model of a folder.
pub fn built(dir: &Path, kind: Kind) -> Box<dyn Model> {
    let family = family(dir).unwrap();
    let card = Arc::new((family.card)(dir).unwrap());
    let weights = (family.weights)(&card, Device::Cpu, kind).unwrap();
    (family.build)(&card, &weights).unwrap()
}

/// The embedded model.
pub fn emoji64(kind: Kind) -> Box<dyn Model> {
    built(&root().join("models/emoji64"), kind)
}

/// A model as the engine has it.
pub fn host(model: Box<dyn Model>, strict: Switch) -> Host {
    let mut config = Config::for_testing().engine;
    (config.strict, config.max_rows) = (strict, 16);
    Host::new(model, Device::Cpu, &config, Measured::default()).unwrap()
}

/// Text features of the prompts, `[n, L, D]`.
pub fn context(model: &dyn Model, prompts: &[&str]) -> Tensor {
    let tokenizer = &model.card().text.as_ref().unwrap().tokenizer;
    let ids: Vec<_> = prompts.iter().map(|prompt| Tensor::from_slice(&tokenizer.encode(prompt).ids)).collect();
    model.forward(Stage::Embed, &Batch::of(Tensor::stack(&ids, 0))).unwrap().output
}

/// Noise at time 400, one row for each row of `context`.
pub fn ask(model: &dyn Model, context: &Tensor, seed: u64) -> Ask {
    let n = context.size()[0].unsigned_abs();
    let noise = Noise::new((0..n).map(|k| seed + k).collect(), &model.card().latent, Kind::Float, Device::Cpu);
    Ask {
        model: model.card().id.clone(),
        stage: Stage::Predict,
        x: noise.start(),
        t: (0..n).map(|k| 400.0 + 50.0 * k as f64).collect(),
        cond: Conditioning::none().with("context", context.shallow_clone()),
        skip: 0,
        together: false,
        pictures: 1,
        tap: None,
        want: Want::Output,
    }
}

/// The answers to asks that share a forward.
pub fn together(host: &Host, asks: &[&Ask]) -> Vec<Result<Answer>> {
    let piece = |(id, ask): (usize, &&Ask)| Piece { id, from: 0, rows: ask.rows(), together: ask.is_whole() };
    in_pieces(host, asks, &asks.iter().enumerate().map(piece).collect::<Vec<_>>())
}

/// The answers to these pieces of asks.
pub fn in_pieces(host: &Host, asks: &[&Ask], pieces: &[Piece]) -> Vec<Result<Answer>> {
    let forward = |pieces: &[Piece]| {
        let asks: Vec<(&Ask, &Piece)> = pieces.iter().map(|piece| (asks[piece.id], piece)).collect();
        let answer = host.within_memory(asks[0].0.stage, gathered(&asks), losses(&asks).as_ref())?;
        Ok(parted(&answer, pieces))
    };
    let answers = attempt(pieces, &mut |pieces| caught(|| forward(pieces)));
    answers.into_iter().map(|(_, answer)| answer).collect()
}
