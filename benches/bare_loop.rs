//! Pictures per second of a bare loop of forwards: what the service could reach if it cost nothing.
//!
//!     cargo bench --profile release --bench bare_loop -- [pictures] [steps]
//!
//! Prints the rate for each number of rows a forward may have; the greatest is what counts.

use std::{error::Error, path::Path, sync::Arc, time::Instant};

use darkroom::{
    ask::{Conditioning, Stage},
    error::Result,
    model::{Batch, Model, family},
};
use tch::{Device, Kind, Tensor};

/// Loops that are timed, after one that is not.
const ROUNDS: i64 = 2;
/// Pictures that share a forward, with two rows each.
const SHARED: [i64; 3] = [8, 16, 32];

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<i64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let (pictures, steps) = (numbers.first().copied().unwrap_or(32), numbers.get(1).copied().unwrap_or(20));
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/emoji64");
    let family = family(&dir)?;
    let card = Arc::new((family.card)(&dir)?);
    let model = (family.build)(&card, &(family.weights)(&card, Device::Cpu, Kind::Float)?)?;
    for shared in SHARED {
        let loop_all = || (0..pictures / shared).try_for_each(|_| make(model.as_ref(), shared, steps));
        loop_all()?;
        let start = Instant::now();
        for _ in 0..ROUNDS {
            loop_all()?;
        }
        let made = ROUNDS * (pictures / shared) * shared;
        println!("{} {:.2}", 2 * shared, made as f64 / start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// All pictures in one batch, with two rows each as classifier-free guidance has them.
fn make(model: &dyn Model, pictures: i64, steps: i64) -> Result<()> {
    let rows = 2 * pictures;
    let ids = Tensor::zeros([rows, 24], (Kind::Int64, Device::Cpu));
    let context = model.forward(Stage::Embed, &Batch::of(ids))?.output;
    let [c, h, w] = model.card().latent;
    let mut batch = Batch {
        t: vec![500.0; usize::try_from(rows).unwrap_or(0)],
        cond: Conditioning::none().with("context", context),
        ..Batch::of(Tensor::randn([rows, c, h, w], (Kind::Float, Device::Cpu)))
    };
    for _ in 0..steps {
        batch.x = model.forward(Stage::Predict, &batch)?.output;
    }
    model.forward(Stage::Decode, &Batch::of(batch.x.narrow(0, 0, pictures)))?;
    Ok(())
}
