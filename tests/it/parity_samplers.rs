//! Samplers against the traces of diffusers' classes and k-diffusion's functions on a toy network, from goldens made by
//! tests/data/make_sampler_goldens.py. tests/data/goldens/samplers.json says which of theirs is which of ours.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use darkroom::{
    ask::{Answer, Stage},
    denoiser::Prediction,
    error::Result,
    model::{Batch, Card, Model, format::safetensors, gaussian::card_of},
    noise::{Purpose, normals},
    process::{Grid, Level, Named},
    registry::find,
    sampler::SAMPLERS,
};
use serde::Deserialize;
use serde_json::Value;
use tch::{Kind, Tensor};

use crate::support::exact::{apart, sample, solver};

/// Largest difference of the latents over the largest latent.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Table {
    seed: u64,
    shape: [i64; 4],
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    peer: String,
    options: Value,
    sampler: Value,
    prediction: Prediction,
    process: Named,
    runs: Vec<Leg>,
}

/// One run of a row: where it starts and which levels it goes through.
#[derive(Deserialize)]
struct Leg {
    steps: usize,
    start: f64,
    grid: String,
}

/// The network of the goldens: `0.8 sin(1.3 x) + 0.1 t / 1000`, whatever its output is taken for, and beside it `sin(2.1 x)`
/// where it says a variance.
struct Toy(Arc<Card>);

impl Model for Toy {
    fn card(&self) -> &Arc<Card> {
        &self.0
    }

    fn forward(&self, _: Stage, batch: &Batch) -> Result<Answer> {
        let t = Tensor::from_slice(&batch.t).view([-1, 1, 1, 1]);
        let output = (&batch.x * 1.3).sin() * 0.8 + t * 1e-4;
        Ok(Answer::of(match self.0.learns_variance {
            true => Tensor::cat(&[output, (&batch.x * 2.1).sin()], 1),
            false => output,
        }))
    }
}

fn goldens() -> (Table, BTreeMap<String, Tensor>) {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/goldens");
    let table = serde_json::from_slice(&std::fs::read(dir.join("samplers.json")).unwrap()).unwrap();
    let tensors = safetensors::from_bytes(&std::fs::read(dir.join("samplers.safetensors")).unwrap()).unwrap();
    (table, tensors.into_iter().collect())
}

fn grid(levels: &Tensor) -> Grid {
    let numbers = Vec::<Vec<f64>>::try_from(levels).unwrap();
    Grid::new(numbers.iter().map(|level| Level { t: level[0], alpha: level[1], sigma: level[2] }).collect())
}

/// Why a run is not the peer's, if it is not.
fn fault(table: &Table, row: &Row, leg: &Leg, levels: &Tensor, golden: &Tensor) -> Option<String> {
    if let Err(fault) = find(&row.sampler, SAMPLERS, |sampler| &sampler.entry)
        .and_then(|(sampler, options)| sampler.entry.read(options))
    {
        return Some(format!("refused: {fault:?}"));
    }
    let [_, c, h, w] = table.shape;
    let card = card_of([c, h, w], row.process.process(), row.prediction, b"toy");
    let learns_variance = row.sampler["variance"] == "learned";
    let toy = Toy(Arc::new(Card { learns_variance, ..card }));
    let count = usize::try_from(c * h * w).unwrap();
    let start = Tensor::from_slice(&normals(table.seed, Purpose::Start, 0, count)).to_kind(Kind::Double);
    let x = start.view(table.shape) * leg.start;
    let found = sample(&toy, solver(&row.sampler), &grid(levels), &x, &[table.seed]);
    let off = apart(&found.view(-1), golden) / golden.abs().max().double_value(&[]);
    (off.is_nan() || off > TOLERANCE).then(|| format!("off by {off:.1e} of scale"))
}

#[test]
fn samplers_agree_with_their_peers() {
    let (table, tensors) = goldens();
    let mut wrong = Vec::new();
    for (number, row) in table.rows.iter().enumerate() {
        let golden = &tensors[&format!("row.{number}")];
        for (index, leg) in row.runs.iter().enumerate() {
            let golden = golden.get(i64::try_from(index).unwrap());
            if let Some(fault) = fault(&table, row, leg, &tensors[&leg.grid], &golden) {
                let Row { peer, options, sampler, prediction, .. } = row;
                wrong.push(format!("{sampler} {prediction:?} {} steps is not {peer} {options}: {fault}", leg.steps));
            }
        }
    }
    assert!(wrong.is_empty(), "{} runs: {wrong:#?}", wrong.len());
}

/// A peer that a run was lost of, or that lost its rows, is not compared however green the comparison is.
#[test]
fn every_peer_has_three_configurations_and_four_step_counts() {
    let (table, _) = goldens();
    let peers: BTreeSet<&str> = table.rows.iter().map(|row| row.peer.as_str()).collect();
    assert!(peers.len() >= 40, "{peers:?}");
    for peer in peers {
        let rows = || table.rows.iter().filter(|row| row.peer == peer);
        let configurations: BTreeSet<String> =
            rows().map(|row| format!("{} {} {:?}", row.options, row.sampler, row.prediction)).collect();
        let steps: BTreeSet<usize> = rows().flat_map(|row| &row.runs).map(|leg| leg.steps).collect();
        // Steps are not asked of a solver that chooses its own.
        let chooses = peer.ends_with("adaptive");
        assert!(configurations.len() >= 3 && (chooses || steps.len() >= 4), "{peer}: {configurations:?} {steps:?}");
    }
}
