//! Schedules: how the steps of a run are spread over the process. One file for each kind of spacing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    error::{Fault, Result},
    process::{Grid, Level, Process},
    registry::{Entry, Options, find, read_options},
};

mod ratios;
mod times;

use ratios::{Exponential, Karras, UniformLambda};
use times::{Leading, Linspace, Trailing};

/// What the state at the first level is, for standard normal z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// `sqrt(alpha^2 + sigma^2) z`: as if data of unit variance were in it.
    Unit,
    /// `sigma z`: noise alone.
    Sigma,
}

impl Start {
    /// What z is multiplied by at a level.
    pub fn scale(self, level: &Level) -> f64 {
        match self {
            Self::Unit => level.alpha.hypot(level.sigma),
            Self::Sigma => level.sigma,
        }
    }
}

/// Which times the network is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Time {
    /// Rounded to training times, where the process has integer ones.
    Integer,
    /// As they come.
    Real,
}

/// Where a path ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// At `sigma = 0`.
    Zero,
    /// At the least noisy training level.
    First,
}

/// The ends of a path, all explicit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// The state at the first level.
    pub start: Start,
    /// Which times the network is told.
    pub time: Time,
    /// Where the path ends.
    pub end: End,
}

/// Ends of which some are left to the sampler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct OpenEnds {
    /// The state at the first level: `unit` (unit variance) or `sigma` (noise alone); null: the sampler's habit.
    #[schema(inline)]
    pub start: Option<Start>,
    /// Times the network is told: `integer` or `real`; null: the sampler's habit.
    #[schema(inline)]
    pub time: Option<Time>,
    /// Where the path ends: `zero`, or `first`, the least noisy training level; null: the sampler's habit.
    #[schema(inline)]
    pub end: Option<End>,
}

impl OpenEnds {
    /// With the gaps filled from the sampler's.
    pub fn or(&self, habit: &Ends) -> Ends {
        Ends {
            start: self.start.unwrap_or(habit.start),
            time: self.time.unwrap_or(habit.time),
            end: self.end.unwrap_or(habit.end),
        }
    }
}

/// The points of a path, noisy to clean, in the unit in which a spacing thinks.
#[derive(Clone, Debug, PartialEq)]
pub enum Points {
    /// Network times.
    Times(Vec<f64>),
    /// `sigma / alpha`.
    Ratios(Vec<f64>),
}

/// What a spacing knows of the model.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// The process.
    pub process: &'a dyn Process,
    /// The `offset` of the model's scheduler configuration.
    pub offset: u32,
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
        let (low, high) = self.process.range();
        let top = self.process.at(high).ratio();
        let top = if top.is_finite() { top } else { self.process.at(self.time((self.labels() - 2) as f64)).ratio() };
        (self.process.at(low).ratio(), top)
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
}

/// A spacing.
pub trait Spacing: Send + Sync {
    /// The points, noisy to clean.
    fn points(&self, wanted: &Wanted) -> Points;
}

/// A spacing together with its ends.
pub trait Schedule: Send + Sync {
    /// The ends as given.
    fn ends(&self) -> OpenEnds;
    /// The levels of a run of `steps` steps.
    fn grid(&self, ground: &Ground, steps: usize, ends: &Ends) -> Grid;
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct With<S> {
    #[serde(flatten)]
    ends: OpenEnds,
    #[serde(flatten)]
    spacing: S,
}

impl<S: Spacing> Schedule for With<S> {
    fn ends(&self) -> OpenEnds {
        self.ends
    }

    fn grid(&self, ground: &Ground, steps: usize, ends: &Ends) -> Grid {
        let whole = ends.time == Time::Integer && ground.process.integer_times();
        let points = self.spacing.points(&Wanted { ground, steps, to_first: ends.end == End::First, whole });
        let mut levels = levels(ground.process, points, whole);
        if ends.end == End::Zero {
            levels.push(ground.process.clean());
        }
        Grid::new(levels)
    }
}

fn levels(process: &dyn Process, points: Points, whole: bool) -> Vec<Level> {
    let round = |t: f64| if whole { t.round_ties_even() } else { t };
    match points {
        Points::Times(times) => times.into_iter().map(|t| process.at(round(t))).collect(),
        Points::Ratios(ratios) => {
            let exact = ratios.into_iter().map(|ratio| process.at_ratio(ratio));
            exact.map(|level| Level { t: round(level.t), ..level }).collect()
        }
    }
}

impl<S: ToSchema> PartialSchema for With<S> {
    fn schema() -> RefOr<Schema> {
        let (spacing, ends) = (S::schema(), OpenEnds::schema());
        let (RefOr::T(Schema::Object(mut all)), RefOr::T(Schema::Object(ends))) = (spacing, ends) else {
            unreachable!("structs have object schemas");
        };
        all.properties.extend(ends.properties);
        RefOr::T(Schema::Object(all))
    }
}

impl<S: ToSchema> ToSchema for With<S> {}

/// One line of [`SCHEDULES`].
pub struct Kind {
    /// Name, paper and options.
    pub entry: Entry<dyn Schedule>,
}

/// Every schedule, in the order in which lists show them.
pub const SCHEDULES: &[Kind] = &[
    Kind::of::<Trailing>("trailing", "Trailing", "Lin et al. 2024, arXiv 2305.08891, table 2"),
    Kind::of::<Leading>("leading", "Leading", "Song et al. 2021, arXiv 2010.02502"),
    Kind::of::<Linspace>("linspace", "Linspace", "Lin et al. 2024, arXiv 2305.08891, table 2"),
    Kind::of::<Karras>("karras", "Karras", "Karras et al. 2022, arXiv 2206.00364, eq. 5"),
    Kind::of::<Exponential>("exponential", "Exponential", "Song et al. 2021, arXiv 2011.13456; k-diffusion"),
    Kind::of::<UniformLambda>("uniform_lambda", "Uniform lambda", "Lu et al. 2022, arXiv 2206.00927, section 3.4"),
];

impl Kind {
    const fn of<S: Spacing + Options>(name: &'static str, title: &'static str, paper: &'static str) -> Self {
        Self { entry: Entry::new::<With<S>>(name, title, paper, read::<S>) }
    }
}

fn read<S: Spacing + Options>(options: Value) -> Result<Box<dyn Schedule>, Fault> {
    Ok(Box::new(read_options::<With<S>>(options)?))
}

/// `"name"` or `{"name": .., options}` with every option filled in, the ends from the sampler's habit.
///
/// # Errors
/// As [`find`] and [`Entry::read`].
pub fn canonical(value: &Value, habit: &Ends) -> Result<Value, Fault> {
    let (kind, options) = find(value, SCHEDULES, |kind: &Kind| &kind.entry)?;
    let ends = kind.entry.read(options.clone())?.ends().or(habit);
    let mut full = kind.entry.canonical(&options)?;
    let ends = serde_json::to_value(ends).expect("ends are JSON");
    merge(&mut full, ends.as_object().cloned().unwrap_or_default());
    Ok(full)
}

fn merge(value: &mut Value, fields: Map<String, Value>) {
    if let Some(object) = value.as_object_mut() {
        object.extend(fields);
    }
}
