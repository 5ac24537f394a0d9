use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::process::Process;

/// The points of a path, noisy to clean, in the unit in which a spacing thinks.
#[derive(Clone, Debug, PartialEq)]
pub enum Points {
    /// Network times.
    Times(Vec<f64>),
    /// `sigma / alpha`, infinite where there is no signal.
    Ratios(Vec<f64>),
}

/// What a spacing knows of the model and the picture.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// The process.
    pub process: &'a dyn Process,
    /// The `offset` of the model's scheduler configuration.
    pub offset: u32,
    /// Latent shape of the picture, `[C, h, w]`.
    pub latent: [i64; 3],
}

impl Ground<'_> {
    /// The time of a training label 0..N-1; processes with real times spread N labels over their range.
    pub fn time(&self, label: f64) -> f64 {
        let (low, high) = self.process.range();
        low + (high - low) * label / (self.labels() - 1) as f64
    }

    /// Number of training labels.
    pub fn labels(&self) -> usize {
        self.process.train_steps()
    }

    /// Least and greatest finite `sigma / alpha` of the training times.
    pub fn ratios(&self) -> (f64, f64) {
        let (low, top) = self.ends();
        let top = if top.is_finite() { top } else { self.process.at(self.time((self.labels() - 2) as f64)).ratio() };
        (low, top)
    }

    /// `sigma / alpha` of the first and of the last training time; the latter is infinite where no signal is left.
    pub fn ends(&self) -> (f64, f64) {
        let (low, high) = self.process.range();
        (self.process.at(low).ratio(), self.process.at(high).ratio())
    }
}

/// What a spacing is asked for: `steps` noisy points, or one more of which the last is the least noisy level itself.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The model's side.
    pub ground: &'a Ground<'a>,
    /// Steps of the run.
    pub steps: usize,
    /// Whether the path ends at the least noisy level, which is then the last point.
    pub to_first: bool,
    /// Whether times will be rounded.
    pub whole: bool,
}

impl Wanted<'_> {
    /// Index of the last point.
    pub fn last(&self) -> usize {
        if self.to_first { self.steps } else { self.steps - 1 }
    }

    /// Index of every point.
    pub fn indices(&self) -> impl Iterator<Item = usize> {
        0..=self.last()
    }

    /// How far along each point is, 0 at the first and 1 at the last, in equal strides.
    pub fn ramp(&self) -> impl Iterator<Item = f64> {
        let gaps = self.last().max(1) as f64;
        self.indices().map(move |k| k as f64 / gaps)
    }

    /// The times of training labels; after those of the steps comes that of the least noisy level, where the path ends
    /// there.
    pub fn times(&self, labels: impl Iterator<Item = f64>) -> Points {
        let end = self.to_first.then_some(0.0);
        Points::Times(labels.take(self.steps).chain(end).map(|label| self.ground.time(label)).collect())
    }

    /// The ratios of the steps, and after them that of the least noisy level, where the path ends there.
    pub fn ratios(&self, ratios: impl Iterator<Item = f64>) -> Points {
        let end = self.to_first.then(|| self.ground.ends().0);
        Points::Ratios(ratios.take(self.steps).chain(end).collect())
    }
}

/// What a curve of a schedule falls in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// `sigma / alpha`.
    Sigmas,
    /// The share of noise, `sigma / (alpha + sigma)`.
    Shares,
}

impl Unit {
    /// A `sigma / alpha` in this unit.
    pub fn of(self, ratio: f64) -> f64 {
        if self == Self::Shares { share(ratio) } else { ratio }
    }

    /// The `sigma / alpha` that is meant.
    pub fn ratio(self, value: f64) -> f64 {
        if self == Self::Shares { of_share(value) } else { value }
    }

    /// The least value and the greatest finite one of the training times.
    pub fn ends(self, ground: &Ground) -> (f64, f64) {
        match self {
            Self::Sigmas => ground.ratios(),
            Self::Shares => (share(ground.ends().0), share(ground.ends().1)),
        }
    }
}

/// `sigma / alpha` as a share of noise, `sigma / (alpha + sigma)`: the time of flow matching, 0..1.
pub(super) fn share(ratio: f64) -> f64 {
    if ratio.is_finite() { ratio / (1.0 + ratio) } else { 1.0 }
}

/// The inverse of [`share`].
pub(super) fn of_share(share: f64) -> f64 {
    share / (1.0 - share)
}
