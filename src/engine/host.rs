//! A model on a thread: loaded, warmed up, measured, and asked for one forward at a time.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{cost::Curve, failure::caught};
use crate::{
    ask::{Answer, Conditioning, Stage, concat},
    config,
    error::Result,
    model::{Batch, Card, Model},
};

/// What asks must agree in to share a forward.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// The model's id.
    pub model: Arc<str>,
    /// The stage.
    pub stage: Stage,
    /// Text-encoder layers left out.
    pub skip: u32,
    /// Number type and trailing shape of the rows.
    pub x: (Kind, Vec<i64>),
    /// The same of each conditioning tensor, by name.
    pub cond: Vec<(&'static str, Kind, Vec<i64>)>,
}

/// Measurements worth keeping from one start to the next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Forward times at the native shape, by stage name.
    pub curves: HashMap<String, Curve>,
    /// Rows from which a row's bits do not depend on its company, once that was looked for.
    pub floor: Option<Floor>,
}

/// What the search for a strict row count found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Floor {
    /// From this count on the bits agree.
    At(usize),
    /// No count up to this one will do.
    Above(usize),
}

impl Measured {
    /// Writes them down. They only save time, so that a place that cannot be written to is no failure.
    pub fn keep(&self, file: Option<&Path>) {
        let Some((file, dir)) = file.and_then(|file| Some((file, file.parent()?))) else { return };
        let written = serde_json::to_vec_pretty(self).expect("measurements are JSON");
        if let Err(cause) = std::fs::create_dir_all(dir).and_then(|()| std::fs::write(file, written)) {
            tracing::debug!(%cause, file = %file.display(), "measurements were not kept");
        }
    }
}

/// A model with what was measured of it.
pub struct Host {
    /// Where its measurements are kept.
    pub file: Option<PathBuf>,
    model: Box<dyn Model>,
    device: Device,
    curves: HashMap<Bucket, Curve>,
    native: HashMap<String, Curve>,
    /// Rows that every predict forward is padded to, in strict mode.
    pub strict: Option<usize>,
    floor: Option<Floor>,
}

/// Floors that are tried for strict mode.
const FLOORS: [usize; 6] = [1, 2, 4, 8, 12, 16];
/// `auto` turns strict mode on up to this floor, where a lone guided request pays nothing.
const FREE_FLOOR: usize = 2;

impl Host {
    /// Warms the model up, measures what `known` does not tell, and settles whether it is strict.
    ///
    /// # Errors
    /// What the first forwards fail with.
    pub fn new(model: Box<dyn Model>, device: Device, config: &config::Engine, known: Measured) -> Result<Self> {
        let Measured { curves: native, floor } = known;
        let mut host = Self { file: None, model, device, curves: HashMap::new(), native, strict: None, floor };
        host.measure()?;
        host.settle_strict(config)?;
        Ok(host)
    }

    /// The model's card.
    pub fn card(&self) -> &Arc<Card> {
        self.model.card()
    }

    /// What is worth keeping.
    pub fn measured(&self) -> Measured {
        Measured { curves: self.native.clone(), floor: self.floor }
    }

    /// The most rows of a forward of that bucket. In strict mode the small stages take one row at a time.
    pub fn cap(&self, bucket: &Bucket, config: &config::Engine) -> usize {
        if self.strict.is_some() && bucket.stage != Stage::Predict {
            return 1;
        }
        let max = config.max_rows as usize;
        let curve = self.curves.get(bucket).or_else(|| self.native_curve(bucket));
        let cap = curve.map_or(max, |curve| curve.cap(max, Duration::from_millis(config.tick_ms)));
        cap.max(self.strict.unwrap_or(1).min(max))
    }

    /// The most rows of a native predict forward.
    pub fn native_cap(&self, config: &config::Engine) -> usize {
        let tick = Duration::from_millis(config.tick_ms);
        let max = config.max_rows as usize;
        self.native.get(Stage::Predict.name()).map_or(max, |curve| curve.cap(max, tick))
    }

    /// Rows that would be added to a forward of `rows` rows.
    pub fn padding(&self, stage: Stage, rows: usize) -> usize {
        let floor = if stage == Stage::Predict { self.strict.unwrap_or(1) } else { 1 };
        floor.saturating_sub(rows)
    }

    /// One forward, padded where strict mode asks for it; the answer has the batch's own rows only.
    ///
    /// # Errors
    /// What the model fails with; its panics too.
    pub fn forward(&self, stage: Stage, batch: Batch) -> Result<Answer> {
        let rows = batch.x.size()[0];
        let padding = self.padding(stage, usize::try_from(rows).expect("a size is not negative"));
        let batch = if padding > 0 { padded(&batch, padding) } else { batch };
        let answer = caught(|| tch::no_grad(|| self.model.forward(stage, &batch)))?;
        if padding == 0 {
            return Ok(answer);
        }
        let own = |tensor: &Tensor| tensor.narrow(0, 0, rows);
        Ok(Answer { output: own(&answer.output), taps: answer.taps.map(own) })
    }

    /// Notes how long a forward of that bucket took.
    pub fn note(&mut self, bucket: &Bucket, rows: usize, time: Duration) {
        let rows = rows + self.padding(bucket.stage, rows);
        self.curves.entry(bucket.clone()).or_default().note(rows, time);
        if self.is_native(bucket) {
            self.native.entry(bucket.stage.name().to_owned()).or_default().note(rows, time);
        }
    }

    fn is_native(&self, bucket: &Bucket) -> bool {
        bucket.stage == Stage::Predict && bucket.x.1 == self.card().latent
    }

    fn native_curve(&self, bucket: &Bucket) -> Option<&Curve> {
        self.is_native(bucket).then(|| self.native.get(bucket.stage.name())).flatten()
    }

    /// Counts 1, 2 and 4 of the native shape, the rest comes from live forwards; one forward of each other stage.
    fn measure(&mut self) -> Result<()> {
        let context = self.context()?;
        let curve = self.native.get(Stage::Predict.name()).cloned().unwrap_or_default();
        let mut curve = curve;
        self.forward(Stage::Predict, self.sample(2, &context, 0))?;
        for rows in [1, 2, 4].into_iter().filter(|rows| !curve.knows(*rows)).collect::<Vec<_>>() {
            while !curve.knows(rows) {
                let batch = self.sample(rows, &context, 0);
                let started = Instant::now();
                let answer = self.forward(Stage::Predict, batch)?;
                drop(answer.output.to_device(Device::Cpu));
                curve.note(rows, started.elapsed());
            }
        }
        self.native.insert(Stage::Predict.name().to_owned(), curve);
        Ok(())
    }

    fn settle_strict(&mut self, config: &config::Engine) -> Result<()> {
        let limit = match config.strict {
            config::Strict::Off => return Ok(()),
            config::Strict::On if config.strict_rows > 0 => {
                self.strict = Some(config.strict_rows as usize);
                return Ok(());
            }
            config::Strict::On => FLOORS[FLOORS.len() - 1],
            config::Strict::Auto => FREE_FLOOR,
        };
        let floor = match self.floor {
            Some(Floor::Above(tried)) if tried < limit => self.find_floor(limit, config.max_rows as usize)?,
            Some(known) => known,
            None => self.find_floor(limit, config.max_rows as usize)?,
        };
        self.floor = Some(floor);
        self.strict = match (floor, config.strict) {
            (Floor::At(rows), config::Strict::Auto) => (rows <= FREE_FLOOR).then_some(rows),
            (Floor::At(rows), _) => Some(rows),
            (Floor::Above(_), config::Strict::Auto) => None,
            (Floor::Above(_), _) => Some(config.max_rows as usize),
        };
        Ok(())
    }

    /// The least of [`FLOORS`] up to `limit` from which the first row has the same bits at every greater count tried.
    fn find_floor(&self, limit: usize, max: usize) -> Result<Floor> {
        let context = self.context()?;
        let alone = |rows: usize| -> Result<Tensor> {
            Ok(self.forward(Stage::Predict, self.sample(rows, &context, rows as u64))?.output.get(0).copy())
        };
        for floor in FLOORS.into_iter().filter(|floor| *floor <= limit) {
            let counts = [floor + 1, floor + 2, 2 * floor + 1, 4 * floor, 32, max];
            let own = alone(floor)?;
            let mut same = true;
            for count in counts.into_iter().filter(|count| *count > floor && *count <= max) {
                same = same && alone(count)? == own;
            }
            if same {
                return Ok(Floor::At(floor));
            }
        }
        Ok(Floor::Above(limit))
    }

    /// Conditioning of one row, `[1, ..]`.
    fn context(&self) -> Result<Conditioning> {
        let Some(text) = &self.card().text else {
            return Ok(Conditioning::none().with("label", Tensor::full([1], -1, (Kind::Int64, self.device))));
        };
        let ids = Tensor::from_slice(&text.tokenizer.encode("").ids).unsqueeze(0).to_device(self.device);
        let batch = Batch { x: ids, t: Vec::new(), cond: Conditioning::none(), skip: 0 };
        Ok(Conditioning::none().with("context", self.forward(Stage::Embed, batch)?.output))
    }

    /// Rows of noise; the first row is the same for every count and `company`, the others are not.
    fn sample(&self, rows: usize, context: &Conditioning, company: u64) -> Batch {
        let [c, h, w] = self.card().latent;
        let n = i64::try_from(rows).expect("few rows");
        let seeds = (0..rows as u64).map(|row| if row == 0 { 0 } else { row + 1000 * company }).collect();
        let noise = crate::noise::Noise::new(seeds, &[c, h, w], Kind::Float, self.device);
        let (low, high) = self.card().process.range();
        let t = (0..rows).map(|row| low + (high - low) * (0.5 + 0.4 * row as f64 / rows as f64)).collect();
        let cond = context.map(|one| one.expand([&[n], &one.size()[1..]].concat(), false));
        Batch { x: noise.start(), t, cond, skip: 0 }
    }
}

/// The batch with its last row repeated.
fn padded(batch: &Batch, padding: usize) -> Batch {
    let more = i64::try_from(padding).expect("few rows");
    let pad = |tensor: &Tensor| {
        let last = tensor.narrow(0, tensor.size()[0] - 1, 1);
        concat(&[tensor, &last.expand([&[more], &last.size()[1..]].concat(), false)])
    };
    let mut t = batch.t.clone();
    t.extend(batch.t.last().copied().into_iter().cycle().take(if batch.t.is_empty() { 0 } else { padding }));
    Batch { x: pad(&batch.x), t, cond: batch.cond.map(pad), skip: batch.skip }
}
