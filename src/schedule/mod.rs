//! Schedules: how the steps of a run are spread over the process. One file for each kind of spacing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::{
    error::{Fault, Result},
    process::Grid,
    registry::{Entry, Options, find, read_options},
};

mod beta;
mod curves;
mod custom;
mod distilled;
mod ends;
mod ground;
mod levels;
mod ratios;
mod shift;
mod tables;
mod times;
mod training;

pub use ends::{End, Ends, OpenEnds, Start, Time};
pub use ground::{Ground, Points, Wanted};

use beta::Beta;
use curves::{KlOptimal, LinearQuadratic};
use custom::Custom;
use distilled::Distilled;
use ratios::{Exponential, Karras, Polyexponential, UniformLambda};
use shift::FlowShift;
use tables::AlignYourSteps;
use times::{Leading, Linspace, Quadratic, Trailing};
use training::{DdimUniform, Normal, SgmUniform, Simple};

/// What a spacing brings that others are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// Steps.
    pub steps: u32,
    /// The end, where the levels fix it.
    pub end: Option<End>,
}

/// A spacing.
pub trait Spacing: Send + Sync {
    /// The points, noisy to clean. They need not fall strictly.
    fn points(&self, wanted: &Wanted) -> Points;

    /// What the schema cannot say of the options; pointers are theirs.
    ///
    /// # Errors
    /// The first option at fault.
    fn check(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// What model, picture and steps must allow; pointers are the request's.
    ///
    /// # Errors
    /// The first field at fault.
    fn fits(&self, wanted: &Wanted) -> Result<(), Fault> {
        let _ = wanted;
        Ok(())
    }

    /// What it fixes, where it is a list of levels.
    fn own(&self) -> Option<Own> {
        None
    }
}

/// A spacing together with its ends.
pub trait Schedule: Send + Sync {
    /// The ends as given.
    fn ends(&self) -> OpenEnds;
    /// The number of steps, where the schedule brings its own levels.
    fn steps(&self) -> Option<u32>;
    /// The levels of a run of `steps` steps, noise falling at every one of them.
    ///
    /// # Errors
    /// Options that do not fit the model, the picture or the steps; pointers are the request's.
    fn grid(&self, ground: &Ground, steps: usize, ends: &Ends) -> Result<Grid, Fault>;
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct With<S> {
    #[serde(flatten)]
    ends: OpenEnds,
    #[serde(flatten)]
    spacing: S,
}

impl<S: Spacing> With<S> {
    fn check(&self) -> Result<(), Fault> {
        self.spacing.check()?;
        let own = self.spacing.own().and_then(|own| own.end);
        match (own, self.ends.end) {
            (Some(End::Zero), Some(End::First)) => Err(Fault::new("/end", "must be `zero`: the levels end there")),
            _ => Ok(()),
        }
    }
}

impl<S: Spacing> Schedule for With<S> {
    fn ends(&self) -> OpenEnds {
        let own = self.spacing.own().and_then(|own| own.end);
        OpenEnds { end: own.or(self.ends.end), ..self.ends }
    }

    fn steps(&self) -> Option<u32> {
        self.spacing.own().map(|own| own.steps)
    }

    fn grid(&self, ground: &Ground, steps: usize, ends: &Ends) -> Result<Grid, Fault> {
        let whole = ends.time == Time::Integer && ground.process.integer_times();
        let wanted = Wanted { ground, steps, to_first: ends.end == End::First, whole };
        self.spacing.fits(&wanted)?;
        let mut levels = levels::levels(&wanted, self.spacing.points(&wanted))?;
        if ends.end == End::Zero {
            levels.push(ground.process.clean());
        }
        Ok(Grid::new(levels))
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
    Kind::of::<Polyexponential>("polyexponential", "Polyexponential", "Crowson 2022, k-diffusion"),
    Kind::of::<UniformLambda>("uniform_lambda", "Uniform lambda", "Lu et al. 2022, arXiv 2206.00927, section 3.4"),
    Kind::of::<Quadratic>("quadratic", "Quadratic", "Song et al. 2021, arXiv 2010.02502, appendix D.2"),
    Kind::of::<Beta>("beta", "Beta", "Lee et al. 2024, arXiv 2407.12173"),
    Kind::of::<SgmUniform>("sgm_uniform", "SGM uniform", "Stability AI 2023, generative-models; ComfyUI"),
    Kind::of::<Simple>("simple", "Simple", "ComfyUI 2023"),
    Kind::of::<Normal>("normal", "Normal", "Crowson 2022, k-diffusion; ComfyUI"),
    Kind::of::<DdimUniform>("ddim_uniform", "DDIM uniform", "Song et al. 2021, arXiv 2010.02502; ComfyUI"),
    Kind::of::<KlOptimal>("kl_optimal", "KL optimal", "Sabour et al. 2024, arXiv 2404.14507, section 3"),
    Kind::of::<AlignYourSteps>("align_your_steps", "Align Your Steps", "Sabour et al. 2024, arXiv 2404.14507"),
    Kind::of::<LinearQuadratic>("linear_quadratic", "Linear-quadratic", "Genmo 2024, Mochi 1; ComfyUI"),
    Kind::of::<FlowShift>("flow_shift", "Flow shift", "Esser et al. 2024, arXiv 2403.03206, eq. 23"),
    Kind::of::<Distilled>("distilled", "Distilled", "Luo et al. 2023, arXiv 2310.04378; TCD, arXiv 2402.19159"),
    Kind::of::<Custom>("custom", "Custom", "von Platen et al. 2022, diffusers"),
];

impl Kind {
    const fn of<S: Spacing + Options>(name: &'static str, title: &'static str, paper: &'static str) -> Self {
        Self { entry: Entry::new::<With<S>>(name, title, paper, read::<S>) }
    }
}

fn read<S: Spacing + Options>(options: Value) -> Result<Box<dyn Schedule>, Fault> {
    let schedule = read_options::<With<S>>(options)?;
    schedule.check()?;
    Ok(Box::new(schedule))
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

/// The number of steps that a canonical schedule brings, where it brings its own levels.
pub fn own_steps(schedule: &Value) -> Option<u32> {
    let (kind, options) = find(schedule, SCHEDULES, |kind: &Kind| &kind.entry).ok()?;
    kind.entry.read(options).ok()?.steps()
}

fn merge(value: &mut Value, fields: Map<String, Value>) {
    if let Some(object) = value.as_object_mut() {
        object.extend(fields);
    }
}
