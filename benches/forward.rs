//! Time of a UNet forward by batch, and how much of a bare convolution's speed it reaches.
//!
//!     cargo bench --bench forward -- [model folder] [f32|bf16]
//!
//! Each figure is the best of several runs, since what else the machine does can only add to it. The second table says
//! where the time of a forward goes; what no layer's span covers is `rest`: sums, concatenations, layouts.

use std::{
    collections::BTreeMap,
    error::Error,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use darkroom::{
    ask::{Conditioning, Stage},
    model::{Batch, Model, family},
};
use tch::{Device, Kind, Tensor};
use tracing::{Subscriber, span};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt},
    registry::LookupSpan,
};

/// Multiplications and additions of the embedded model's UNet for one native row.
const GFLOP_PER_ROW: f64 = 1.04;

fn main() -> Result<(), Box<dyn Error>> {
    let _guard = tch::no_grad_guard();
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let dir = arguments.first().map_or_else(|| PathBuf::from("models/emoji64"), PathBuf::from);
    let kind = if arguments.get(1).is_some_and(|kind| kind == "bf16") { Kind::BFloat16 } else { Kind::Float };
    let family = family(&dir)?;
    let card = Arc::new((family.card)(&dir)?);
    let weights = (family.weights)(&card, Device::Cpu, kind)?;
    let model = (family.build)(&card, &weights)?;
    let (mut bare, mut times) = (0.0, Vec::new());
    for rows in [1, 2, 4, 8, 16, 32] {
        let batch = batch(model.as_ref(), rows)?;
        let time = best(|| model.forward(Stage::Predict, &batch).map(drop).expect("a valid batch")).as_secs_f64();
        times.push((rows, time));
        bare = convolution(kind).max(bare);
    }
    println!("{} in {kind:?}, {} threads; bare 3x3 convolution {bare:.0} GFLOP/s", card.id, tch::get_num_threads());
    println!("| rows | ms a row | GFLOP/s | share of the convolution |\n|---|---|---|---|");
    for (rows, time) in times {
        let speed = GFLOP_PER_ROW * rows as f64 / time;
        let share = 100.0 * speed / bare;
        println!("| {rows} | {:.2} | {speed:.0} | {share:.0} % |", 1e3 * time / rows as f64);
    }
    println!("\n| operator | 2 rows | 32 rows |\n|---|---|---|");
    let [few, many] = [2, 32].map(|rows| by_operator(model.as_ref(), rows));
    let (few, many) = (few?, many?);
    for (name, share) in &many {
        println!("| {name} | {:.0} % | {share:.0} % |", few.get(name).copied().unwrap_or(0.0));
    }
    Ok(())
}

/// Percent of a forward's time in each kind of layer.
fn by_operator(model: &dyn Model, rows: i64) -> darkroom::error::Result<BTreeMap<&'static str, f64>> {
    const FORWARDS: u32 = 10;
    let batch = batch(model, rows)?;
    let clock = Clock::default();
    let spent = clock.0.clone();
    let whole = tracing::subscriber::with_default(tracing_subscriber::registry().with(clock), || {
        let started = Instant::now();
        (0..FORWARDS).try_for_each(|_| model.forward(Stage::Predict, &batch).map(drop)).map(|()| started.elapsed())
    })?;
    let spent = spent.lock().expect("no thread died with it");
    let percent = |time: Duration| 100.0 * time.as_secs_f64() / whole.as_secs_f64();
    let mut shares: BTreeMap<_, _> = spent.iter().map(|(name, time)| (*name, percent(*time))).collect();
    shares.insert("rest", 100.0 - shares.values().sum::<f64>());
    Ok(shares)
}

/// Time spent in spans, by name.
#[derive(Default)]
struct Clock(Arc<Mutex<BTreeMap<&'static str, Duration>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Clock {
    fn on_enter(&self, id: &span::Id, context: Context<'_, S>) {
        let span = context.span(id).expect("an entered span is known");
        span.extensions_mut().insert(Instant::now());
    }

    fn on_exit(&self, id: &span::Id, context: Context<'_, S>) {
        let span = context.span(id).expect("an entered span is known");
        let entered = span.extensions_mut().remove::<Instant>().expect("it was entered");
        *self.0.lock().expect("no thread died with it").entry(span.name()).or_default() += entered.elapsed();
    }
}

/// Rows of noise at different times with an empty prompt.
fn batch(model: &dyn Model, rows: i64) -> darkroom::error::Result<Batch> {
    let text = model.card().text.as_ref().expect("a model that reads text");
    let ids = Tensor::from_slice(&text.tokenizer.encode("").ids).unsqueeze(0);
    let embed = Batch::of(ids);
    let context = model.forward(Stage::Embed, &embed)?.output.repeat([rows, 1, 1]);
    let [c, h, w] = model.card().latent;
    let x = Tensor::randn([rows, c, h, w], (Kind::Float, Device::Cpu));
    let t = (0..rows).map(|row| 999.0 * row as f64 / rows as f64).collect();
    Ok(Batch { t, cond: Conditioning::none().with("context", context), ..Batch::of(x) })
}

/// GFLOP/s of a convolution as the UNet has them: 16 rows of 128 channels, 16 by 16.
fn convolution(kind: Kind) -> f64 {
    let x = Tensor::randn([16, 128, 16, 16], (Kind::Float, Device::Cpu)).to_kind(kind);
    let weight = Tensor::randn([128, 128, 3, 3], (Kind::Float, Device::Cpu)).to_kind(kind);
    let time = best(|| drop(x.conv2d(&weight, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1)));
    2.0 * 16.0 * 256.0 * 128.0 * 128.0 * 9.0 / time.as_secs_f64() / 1e9
}

/// The shortest time of a call, from at least five and at most a second of them.
fn best(mut call: impl FnMut()) -> Duration {
    let start = Instant::now();
    let mut best = Duration::MAX;
    let mut calls = 0;
    while calls < 5 || start.elapsed() < Duration::from_secs(1) {
        let call_start = Instant::now();
        call();
        best = best.min(call_start.elapsed());
        calls += 1;
    }
    best
}
