//! The exact model: a Gaussian mixture with labels, whose denoiser is known in closed form in any dimension.
//!
//! It is given (x, t, label, degraded picture) only, as a network is, and answers in any prediction type under any
//! process, so that two wrong conversions cannot cancel. Every numerical claim of this project is tested against it.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    path::PathBuf,
    rc::Rc,
    sync::Arc,
};

use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use super::{Batch, Card, Defaults, Model};
use crate::{
    ask::{Answer, Stage},
    config,
    denoiser::Prediction,
    error::{Failure, Result},
    process::{Change, Level, Process},
};

/// The id of the built-in model.
pub const ID: &str = "gaussian";
/// Labels are 0..LABELS; -1 is no label: the whole mixture.
pub const LABELS: u32 = 4;
/// Components of each label.
const EACH: usize = 2;

/// `sum w_k N(mean_k, std_k^2 I)` over d dimensions; each component has a label.
#[derive(Debug)]
pub struct Mixture {
    /// `[K, d]`, f64.
    pub means: Tensor,
    /// K standard deviations.
    pub stds: Vec<f64>,
    /// K weights, summing to 1.
    pub weights: Vec<f64>,
    /// K labels.
    pub labels: Vec<i64>,
}

impl Mixture {
    /// The built-in mixture in d dimensions: waves of a frequency for each label, in two phases.
    pub fn waves(d: usize, device: Device) -> Self {
        let components = LABELS as usize * EACH;
        let wave = |k: usize, i: usize| {
            let (label, phase) = ((k / EACH) as f64, (k % EACH) as f64);
            0.8 * (std::f64::consts::TAU * ((label + 1.0) * i as f64 / d as f64 + 0.5 * phase) + 0.3 * label).sin()
        };
        let means: Vec<f64> = (0..components).flat_map(|k| (0..d).map(move |i| wave(k, i))).collect();
        let width = |k: usize| 0.15 + 0.05 * (k % EACH) as f64;
        Self {
            means: Tensor::from_slice(&means).view([components as i64, d as i64]).to_device(device),
            stds: (0..components).map(width).collect(),
            weights: vec![1.0 / components as f64; components],
            labels: (0..components).map(|k| (k / EACH) as i64).collect(),
        }
    }

    /// `E[x0 | x]` for rows `[n, d]` (f64) at the levels (alpha, sigma) `[n, 1]` under labels `[n]`.
    ///
    /// The posterior of component k has the weight `w_k N(x; alpha mean_k, alpha^2 std_k^2 + sigma^2)` and the mean
    /// `mean_k + alpha std_k^2 / (alpha^2 std_k^2 + sigma^2) (x - alpha mean_k)`.
    pub fn denoise(&self, x: &Tensor, alpha: &Tensor, sigma: &Tensor, labels: &Tensor) -> Tensor {
        let row = |values: &[f64]| Tensor::from_slice(values).to_device(x.device()).unsqueeze(0);
        let square = row(&self.stds).square();
        let variance = alpha.square() * &square + sigma.square();
        let gap = x.unsqueeze(1) - alpha.unsqueeze(2) * self.means.unsqueeze(0);
        let far = gap.square().sum_dim_intlist([2i64].as_slice(), false, Kind::Double);
        let d = x.size()[1] as f64;
        let log = row(&self.weights).log() - far / (&variance * 2.0) - variance.log() * (0.5 * d);
        let share = log.masked_fill(&self.excluded(labels), f64::NEG_INFINITY).softmax(1, Kind::Double);
        let pull = alpha * square / variance;
        let means = self.means.unsqueeze(0) + pull.unsqueeze(2) * gap;
        (share.unsqueeze(2) * means).sum_dim_intlist([1i64].as_slice(), false, Kind::Double)
    }

    fn excluded(&self, labels: &Tensor) -> Tensor {
        let own = Tensor::from_slice(&self.labels).to_device(labels.device()).unsqueeze(0);
        let asked = labels.unsqueeze(1);
        asked.ne_tensor(&own).logical_and(&asked.ge(0))
    }
}

/// The exact model over some mixture for each shape.
#[derive(Debug)]
pub struct Gaussian {
    card: Arc<Card>,
    device: Device,
    mixtures: RefCell<HashMap<i64, Rc<Mixture>>>,
    calls: Cell<u64>,
    rows: Cell<u64>,
}

impl Gaussian {
    /// The model of that card with the built-in mixture.
    pub fn new(card: Arc<Card>, device: Device) -> Self {
        Self { card, device, mixtures: RefCell::default(), calls: Cell::new(0), rows: Cell::new(0) }
    }

    /// The same with a mixture of one's own for the latents of its dimension.
    pub fn with(self, mixture: Mixture) -> Self {
        let d = mixture.means.size()[1];
        self.mixtures.borrow_mut().insert(d, Rc::new(mixture));
        self
    }

    /// Forwards so far, and rows in them.
    pub fn counted(&self) -> (u64, u64) {
        (self.calls.get(), self.rows.get())
    }

    /// The mixture in d dimensions.
    pub fn mixture(&self, d: i64) -> Rc<Mixture> {
        let mut known = self.mixtures.borrow_mut();
        let new = || Rc::new(Mixture::waves(usize::try_from(d).expect("a size is not negative"), self.device));
        known.entry(d).or_insert_with(new).clone()
    }

    fn predict(&self, batch: &Batch) -> Result<Tensor> {
        let n = batch.x.size()[0];
        self.calls.set(self.calls.get() + 1);
        self.rows.set(self.rows.get() + n.unsigned_abs());
        let x = batch.x.to_kind(Kind::Double).view([n, -1]);
        let Columns { alpha, sigma, mean, scale, kappa } = self.columns(&batch.t);
        let mu = self.degraded(batch, &x)?;
        let unlabelled = || Tensor::full([n], -1, (Kind::Int64, self.device));
        let labels = batch.cond.get("label").map_or_else(unlabelled, Tensor::shallow_clone);
        // x = mean mu + scale (alpha (x0 - mu) / scale + sigma eps).
        let noisy = &x - (mean - &alpha) * &mu;
        let noise = &scale * &sigma;
        let x0 = self.mixture(x.size()[1]).denoise(&noisy, &alpha, &noise, &labels);
        let eps = (noisy - &alpha * &x0) / noise;
        let residual = &mu - &x0;
        // Written out rather than shared with the reading side, so that an error there has nothing to cancel it.
        let output = match self.card.prediction {
            Prediction::Epsilon => eps,
            Prediction::Sample => x0,
            Prediction::VPrediction => alpha * scale * eps + sigma * residual,
            Prediction::Flow => eps + residual / scale,
            Prediction::Residual => residual,
            Prediction::ResidualNoise => eps + kappa * residual,
        };
        Ok(output.view(&batch.x.size()[..]).to_kind(batch.x.kind()))
    }

    fn columns(&self, times: &[f64]) -> Columns {
        let process = &self.card.process;
        let rows: Vec<_> = times.iter().map(|t| process.at(*t)).map(|level| (level, process.change(&level))).collect();
        let column = |of: fn(&(Level, Change)) -> f64| {
            Tensor::from_slice(&rows.iter().map(of).collect::<Vec<_>>()).to_device(self.device).unsqueeze(1)
        };
        Columns {
            alpha: column(|(level, _)| level.alpha),
            sigma: column(|(level, _)| level.sigma),
            mean: column(|(_, change)| change.mean),
            scale: column(|(_, change)| change.scale),
            kappa: column(|(_, change)| change.kappa),
        }
    }

    /// The degraded pictures `[n, d]` that came along, 0 for a process that has none.
    fn degraded(&self, batch: &Batch, x: &Tensor) -> Result<Tensor> {
        match batch.cond.get("concat") {
            Some(mu) => Ok(mu.to_kind(Kind::Double).view(&x.size()[..])),
            None if self.card.process.restores() => {
                Err(Failure::Internal("a restoring model is asked without a degraded picture".into()))
            }
            None => Ok(x.zeros_like()),
        }
    }
}

/// What the process says of each row, `[n, 1]`.
struct Columns {
    alpha: Tensor,
    sigma: Tensor,
    mean: Tensor,
    scale: Tensor,
    kappa: Tensor,
}

impl Model for Gaussian {
    fn card(&self) -> &Arc<Card> {
        &self.card
    }

    fn forward(&self, stage: Stage, batch: &Batch) -> Result<Answer> {
        let channels = self.card.latent[0];
        let grey = |tensor: &Tensor| tensor.mean_dim([1i64].as_slice(), true, tensor.kind());
        match stage {
            Stage::Predict => Ok(Answer::of(self.predict(batch)?)),
            Stage::Decode => Ok(Answer::of(grey(&batch.x).repeat([1, 3, 1, 1]))),
            Stage::Encode => Ok(Answer::of(grey(&batch.x).repeat([1, channels, 1, 1]))),
            Stage::Embed => Err(Failure::Internal("the exact model reads no text".into())),
        }
    }
}

/// The degraded picture of the built-in model in any shape `[C, h, w]`: one slow wave of the amplitude 0.4 over all
/// values.
pub fn degraded(shape: [i64; 3]) -> Vec<f32> {
    let d = shape.iter().product::<i64>();
    (0..d).map(|i| (0.4 * (std::f64::consts::TAU * i as f64 / d as f64).cos()) as f32).collect()
}

/// The card of the built-in model as configured.
pub fn card(config: &config::Gaussian) -> Card {
    let written = serde_json::to_vec(config).expect("a configuration is JSON");
    card_of(config.shape, config.process.process(), config.prediction, &written)
}

/// A card for a process and prediction type; `written` is what its hash is taken over.
pub fn card_of(shape: [i64; 3], process: Arc<dyn Process>, prediction: Prediction, written: &[u8]) -> Card {
    let degraded = process.restores().then_some(degraded as fn([i64; 3]) -> Vec<f32>);
    // More steps than training times tell the network nothing new.
    let steps = u32::try_from(process.train_steps()).unwrap_or(u32::MAX).min(20);
    let sha256 = Sha256::digest(written).iter().map(|byte| format!("{byte:02x}")).collect();
    Card {
        id: ID.into(),
        family: ID,
        dir: PathBuf::new(),
        latent: shape,
        factor: 1,
        multiple: 1,
        prediction,
        process,
        inpaints: false,
        learns_variance: false,
        degraded,
        steps_offset: 0,
        text: None,
        blocks: Vec::new(),
        labels: Some(LABELS),
        preview: None,
        defaults: Defaults {
            title: "Exact Gaussian mixture".into(),
            licence: "Apache-2.0 OR MIT".into(),
            steps,
            guidance: 1.0,
            ..Defaults::default()
        },
        sha256,
        group: format!("{ID} {shape:?}"),
    }
}
