//! A model on a thread: loaded, warmed up, measured, and asked for one forward at a time.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{cost::Curve, failure::caught, memory::Memory, rows::each, strict};
use crate::{
    ask::{Answer, Conditioning, Stage, Wrt, concat},
    config,
    error::Result,
    model::{Batch, Card, Losses, Model},
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
    /// In what a gradient is taken, if one is.
    pub wrt: Option<Wrt>,
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
    /// Row counts that were seen to give a row the same bits, once that was looked for; see [`strict::verified`].
    pub strict: Option<Vec<usize>>,
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
    strict: Option<Vec<usize>>,
    verified: Option<Vec<usize>>,
    memory: RefCell<Memory>,
}

impl Host {
    /// Warms the model up, with a first look at what `known` does not tell, and settles whether it is strict.
    ///
    /// # Errors
    /// What the first forwards fail with.
    pub fn new(model: Box<dyn Model>, device: Device, config: &config::Engine, known: Measured) -> Result<Self> {
        let Measured { curves: native, strict: verified } = known;
        let started = Instant::now();
        let ms = || started.elapsed().as_millis();
        let memory = RefCell::new(Memory::new(config.memory_mb));
        let curves = HashMap::new();
        let mut host = Self { file: None, model, device, curves, native, strict: None, verified, memory };
        let context = host.context()?;
        let outputs = host.warm(&context)?;
        let bytes = |stage| host.memory.borrow().of((stage, None)) as u64;
        let (predict, decode) = (bytes(Stage::Predict), bytes(Stage::Decode));
        tracing::debug!(model = %host.card().id, ms = ms(), predict, decode, "warm; bytes of a row");
        host.settle_strict(config, &context, &outputs)?;
        tracing::debug!(model = %host.card().id, ms = ms(), strict = host.is_strict(), "settled strict");
        Ok(host)
    }

    /// The model's card.
    pub fn card(&self) -> &Arc<Card> {
        self.model.card()
    }

    /// What is worth keeping.
    pub fn measured(&self) -> Measured {
        Measured { curves: self.native.clone(), strict: self.verified.clone() }
    }

    /// Whether a row's bits are the same in any company.
    pub fn is_strict(&self) -> bool {
        self.strict.is_some()
    }

    /// The most rows of a forward of that bucket. In strict mode the small stages take one row at a time. What a gradient
    /// costs and takes is measured at its first forward, which therefore is a small one.
    pub fn cap(&self, bucket: &Bucket, config: &config::Engine) -> usize {
        let max = config.max_rows as usize;
        let curve = self.curves.get(bucket).or_else(|| self.native_curve(bucket));
        let unknown = if bucket.wrt.is_some() { 1 } else { max };
        let cap = curve.map_or(unknown, |curve| curve.cap(max, Duration::from_millis(config.tick_ms)));
        self.allowed(bucket.stage, &bucket.x.1).map_or(cap, |counts| strict::below(counts, cap))
    }

    /// The most rows of a native predict forward.
    pub fn native_cap(&self, config: &config::Engine) -> usize {
        let tick = Duration::from_millis(config.tick_ms);
        let max = config.max_rows as usize;
        self.native.get(Stage::Predict.name()).map_or(max, |curve| curve.cap(max, tick))
    }

    /// Rows that would be added to a forward of `rows` rows of that trailing shape.
    pub fn padding(&self, stage: Stage, shape: &[i64], rows: usize) -> usize {
        self.allowed(stage, shape).map_or(0, |counts| strict::above(counts, rows) - rows)
    }

    /// The row counts that strict mode allows; at another than the native shape a single one, since none was compared there.
    fn allowed(&self, stage: Stage, shape: &[i64]) -> Option<&[usize]> {
        let counts = self.strict.as_deref()?;
        match stage {
            Stage::Predict if *shape == self.card().latent => Some(counts),
            Stage::Predict => Some(&counts[..1]),
            _ => Some(&[1]),
        }
    }

    /// A forward, where it fits into the processor's memory. A device says by itself when it does not.
    ///
    /// # Errors
    /// Out of memory, and those of [`Host::forward`].
    pub fn within_memory(&self, stage: Stage, batch: Batch, losses: Option<&Losses>) -> Result<Answer> {
        let ([_, native_h, native_w], size) = (self.card().latent, batch.x.size());
        let [rows, _, h, w] = size[..] else { return self.forward(stage, batch, losses) };
        if self.device != Device::Cpu {
            return self.forward(stage, batch, losses);
        }
        let rows = usize::try_from(rows).expect("a size is not negative");
        let rows = rows + self.padding(stage, &size[1..], rows);
        let area = (h * w) as f64 / (native_h * native_w) as f64;
        let work = (stage, losses.map(|losses| losses.wrt));
        self.memory.borrow_mut().run(work, rows as f64 * area, || self.forward(stage, batch, losses))
    }

    /// One forward, padded where strict mode asks for it; the answer has the batch's own rows only, and the gradient where
    /// there are losses.
    ///
    /// # Errors
    /// What the model fails with; its panics too.
    pub fn forward(&self, stage: Stage, batch: Batch, losses: Option<&Losses>) -> Result<Answer> {
        let rows = batch.x.size()[0];
        let own = usize::try_from(rows).expect("a size is not negative");
        let padding = self.padding(stage, &batch.x.size()[1..], own);
        let batch = if padding > 0 { padded(&batch, padding) } else { batch };
        let _ungraphed = tch::no_grad_guard();
        let answer = caught(|| match losses {
            None => self.model.forward(stage, &batch),
            Some(losses) => self.model.gradient(stage, &batch, losses),
        })?;
        if padding == 0 {
            return Ok(answer);
        }
        Ok(each(&answer, |tensor| tensor.narrow(0, 0, rows)))
    }

    /// Notes how long a forward of that bucket took.
    pub fn note(&mut self, bucket: &Bucket, rows: usize, time: Duration) {
        let rows = rows + self.padding(bucket.stage, &bucket.x.1, rows);
        self.curves.entry(bucket.clone()).or_default().note(rows, time);
        if self.is_native(bucket) {
            self.native.entry(bucket.stage.name().to_owned()).or_default().note(rows, time);
        }
    }

    fn is_native(&self, bucket: &Bucket) -> bool {
        bucket.stage == Stage::Predict && bucket.wrt.is_none() && bucket.x.1 == self.card().latent
    }

    fn native_curve(&self, bucket: &Bucket) -> Option<&Curve> {
        self.is_native(bucket).then(|| self.native.get(bucket.stage.name())).flatten()
    }

    /// The first forwards: one picture, and 1, 2 and 4 rows where nothing was measured yet, else 2. Live ones tell the rest.
    fn warm(&mut self, context: &Conditioning) -> Result<BTreeMap<usize, Tensor>> {
        let mut curve = self.native.get(Stage::Predict.name()).cloned().unwrap_or_default();
        let counts: &[usize] = if curve.support() == 0 { &[1, 2, 4] } else { &[2] };
        let mut outputs = BTreeMap::new();
        let [c, h, w] = self.card().latent;
        let latents = Tensor::zeros([1, c, h, w], (Kind::Float, self.device));
        self.within_memory(Stage::Decode, Batch::of(latents), None)?;
        for rows in counts {
            let started = Instant::now();
            let batch = self.sample(*rows, context);
            let output = self.within_memory(Stage::Predict, batch, None)?.output.to_device(Device::Cpu);
            curve.note(*rows, started.elapsed());
            outputs.insert(*rows, output);
        }
        self.native.insert(Stage::Predict.name().to_owned(), curve);
        Ok(outputs)
    }

    fn settle_strict(
        &mut self,
        config: &config::Engine,
        context: &Conditioning,
        known: &BTreeMap<usize, Tensor>,
    ) -> Result<()> {
        if config.strict == config::Switch::Off {
            return Ok(());
        }
        let counts = match &self.verified {
            Some(counts) => counts.clone(),
            None => self.verify(config, context, known)?,
        };
        self.verified = Some(counts.clone());
        self.strict = match (config.strict, config.strict_rows as usize) {
            (config::Switch::Auto, _) => strict::is_free(&counts).then_some(counts),
            (_, 0) => Some(counts),
            (_, rows) => Some(vec![rows]),
        };
        Ok(())
    }

    fn verify(
        &self,
        config: &config::Engine,
        context: &Conditioning,
        known: &BTreeMap<usize, Tensor>,
    ) -> Result<Vec<usize>> {
        strict::verified(config.max_rows as usize, config.strict == config::Switch::Auto, &mut |rows| match known
            .get(&rows)
        {
            Some(output) => Ok(output.shallow_clone()),
            None => Ok(self.forward(Stage::Predict, self.sample(rows, context), None)?.output.to_device(Device::Cpu)),
        })
    }

    /// Conditioning of one row, `[1, ..]`.
    fn context(&self) -> Result<Conditioning> {
        let context = self.unasked()?;
        let (card, shape) = (self.card(), self.card().latent);
        Ok(match card.mu(shape, self.device).or_else(|| card.unmasked(shape, self.device)) {
            Some(beside) => context.with("concat", beside),
            None => context,
        })
    }

    /// No prompt, or no label.
    fn unasked(&self) -> Result<Conditioning> {
        let Some(text) = &self.card().text else {
            return Ok(Conditioning::none().with("label", Tensor::full([1], -1, (Kind::Int64, self.device))));
        };
        let ids = Tensor::from_slice(&text.tokenizer.encode("").ids).unsqueeze(0).to_device(self.device);
        Ok(Conditioning::none().with("context", self.forward(Stage::Embed, Batch::of(ids), None)?.output))
    }

    /// Rows of noise; row k is the same for every count.
    fn sample(&self, rows: usize, context: &Conditioning) -> Batch {
        let [c, h, w] = self.card().latent;
        let n = i64::try_from(rows).expect("few rows");
        let seeds = (0..rows as u64).collect();
        let noise = crate::noise::Noise::new(seeds, &[c, h, w], Kind::Float, self.device);
        let (low, high) = self.card().process.range();
        let t = (0..rows).map(|row| low + (high - low) * (0.1 + 0.8 * (row % 7) as f64 / 7.0)).collect();
        let cond = context.map(|one| one.expand([&[n], &one.size()[1..]].concat(), false));
        Batch { t, cond, ..Batch::of(noise.start()) }
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
    let cond = batch.cond.map(pad);
    Batch { x: pad(&batch.x), t, cond, skip: batch.skip, taps: batch.taps.clone() }
}
