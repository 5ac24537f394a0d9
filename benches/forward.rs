//! What a forward of the embedded UNet costs, and what a bare loop of forwards makes of it.
//!
//!     cargo bench --profile release --bench forward                       ms per row by batch, against a bare convolution
//!     cargo bench --profile release --bench forward -- loop PICTURES STEPS   pictures per second without a service

use std::{path::Path, sync::Arc, time::Instant};

use darkroom::{
    ask::{Conditioning, Stage},
    model::{Batch, Card, Model, family},
};
use tch::{Device, Kind, Tensor};

/// Multiplications and additions of one row at the native size, in units of 10^9 (two for each product).
const GFLOP_PER_ROW: f64 = 1.04;
const BATCHES: [i64; 6] = [1, 2, 4, 8, 16, 32];

fn load(kind: Kind) -> (Arc<Card>, Box<dyn Model>) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/emoji64");
    let family = family(&dir).expect("the embedded model is there");
    let card = Arc::new((family.card)(&dir).expect("its files are whole"));
    let weights = (family.weights)(&card, Device::Cpu, kind).expect("its weights fit");
    let model = (family.build)(&card, &weights).expect("its weights fit");
    (card, model)
}

fn embed(model: &dyn Model, rows: i64) -> Tensor {
    let ids = Tensor::zeros([rows, 24], (Kind::Int64, Device::Cpu));
    ask(model, Stage::Embed, Batch { x: ids, t: Vec::new(), cond: Conditioning::none(), skip: 0 })
}

fn predict(model: &dyn Model, x: &Tensor, context: &Tensor) -> Tensor {
    let t = (0..x.size()[0]).map(|row| (row * 31 % 1000) as f64).collect();
    let cond = Conditioning::none().with("context", context.shallow_clone());
    ask(model, Stage::Predict, Batch { x: x.shallow_clone(), t, cond, skip: 0 })
}

fn ask(model: &dyn Model, stage: Stage, batch: Batch) -> Tensor {
    model.forward(stage, &batch).expect("the shapes fit").output
}

/// Seconds of one call: the median of at least nine and at least two seconds of them.
fn median(mut call: impl FnMut()) -> f64 {
    (0..2).for_each(|_| call());
    let (began, mut times) = (Instant::now(), Vec::new());
    while times.len() < 9 || began.elapsed().as_secs_f64() < 2.0 {
        let start = Instant::now();
        call();
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// GFLOP/s of a 3x3 convolution of 128 to 128 channels over 32 rows of 16x16.
fn convolution(kind: Kind) -> f64 {
    let x = Tensor::randn([32, 128, 16, 16], (kind, Device::Cpu));
    let weight = Tensor::randn([128, 128, 3, 3], (kind, Device::Cpu));
    let seconds = tch::no_grad(|| median(|| drop(x.conv2d(&weight, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1))));
    2.0 * 32.0 * 256.0 * 128.0 * 128.0 * 9.0 / seconds / 1e9
}

fn table(kind: Kind) {
    let (card, model) = load(kind);
    let bare = convolution(kind);
    println!("{kind:?}: 3x3 convolution {bare:.0} GFLOP/s");
    println!("| rows | ms per row | GFLOP/s | share of the convolution |\n|---|---|---|---|");
    for rows in BATCHES {
        let [c, h, w] = card.latent;
        let (x, context) = (Tensor::randn([rows, c, h, w], (Kind::Float, Device::Cpu)), embed(model.as_ref(), rows));
        let per_row = median(|| drop(predict(model.as_ref(), &x, &context))) / rows as f64;
        let rate = GFLOP_PER_ROW / per_row;
        println!("| {rows} | {:.2} | {rate:.0} | {:.0} % |", per_row * 1e3, rate / bare * 100.0);
    }
}

/// `pictures` guided pictures in one batch: what a service could reach if it cost nothing.
fn bare_loop(pictures: i64, steps: i64) {
    let (card, model) = load(Kind::Float);
    let model = model.as_ref();
    let [c, h, w] = card.latent;
    let round = || {
        let context = embed(model, 2 * pictures);
        let x = Tensor::randn([2 * pictures, c, h, w], (Kind::Float, Device::Cpu));
        let eps = (0..steps).fold(x, |x, _| predict(model, &x, &context));
        drop(ask(model, Stage::Decode, Batch {
            x: eps.narrow(0, 0, pictures),
            t: Vec::new(),
            cond: Conditioning::none(),
            skip: 0,
        }));
    };
    round();
    let began = Instant::now();
    (0..3).for_each(|_| round());
    println!("{:.2}", 3.0 * pictures as f64 / began.elapsed().as_secs_f64());
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |at: usize, otherwise: i64| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    if arguments.first().is_some_and(|first| first == "loop") {
        bare_loop(number(1, 32), number(2, 20));
    } else {
        [Kind::Float, Kind::BFloat16].into_iter().for_each(table);
    }
}
