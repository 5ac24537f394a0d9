//! What is compared with what: from the command line to requests.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Arguments, run::Wish};
use crate::{
    cli::Misuse,
    error::Fault,
    model::Card,
    registry::find,
    schedule::{self, End, Ends, Ground, Kind, SCHEDULES, Start, Time},
    wrapper::Stack,
};

/// How every path starts and ends where --schedule leaves it open; samplers have habits of their own otherwise. Down to
/// sigma 0 every sampler's last step is of first order, which would hide what tells them apart.
const ENDS: Ends = Ends { start: Start::Unit, time: Time::Real, end: End::First };

/// Steps of the finest grid that can be asked for.
const MOST_STEPS: usize = 1000;

/// A sampler with its options.
#[derive(Clone, Debug)]
pub struct Contestant {
    /// As given: a name, or an object with one.
    pub sampler: Value,
    /// Its title and the options that were given, for people.
    pub title: String,
    /// Whether it draws noise after the start.
    pub stochastic: bool,
}

impl Contestant {
    fn new(sampler: &Value) -> Result<Self, Fault> {
        let stack = Stack::read(sampler)?;
        let title = stack.sampler.entry.title.to_owned() + &given(sampler);
        Ok(Self { sampler: sampler.clone(), title, stochastic: stack.solver.stochastic() })
    }
}

/// The options of an object with a name, and what is wrapped around it.
fn given(object: &Value) -> String {
    let fields = object.as_object().into_iter().flatten().filter(|(name, _)| *name != "name");
    let field = |(name, value): (&String, &Value)| match (name.as_str(), value) {
        ("wrap", Value::Array(wrappers)) => wrappers.iter().map(|one| format!(" + {}", words(one))).collect::<String>(),
        _ => format!(", {name} {}", words(value)),
    };
    fields.map(field).collect()
}

/// A value without the marks of JSON.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(" "),
        Value::Object(fields) if fields.contains_key("name") => words(&fields["name"]) + &given(value),
        other => other.to_string(),
    }
}

/// The samplers to compare, each once.
///
/// # Errors
/// One that is not known, or an option of it.
pub fn contestants(arguments: &Arguments) -> Result<Vec<Contestant>, Misuse> {
    let named = |names: &[&str]| names.iter().map(|name| Value::from(name.trim())).collect::<Vec<_>>();
    let listed = match (arguments.samplers.as_slice(), arguments.sampler.as_slice()) {
        ([], []) => named(&["ddim", "euler", "heun", "dpmpp_2m", "unipc"]),
        (names, _) => named(&names.iter().map(String::as_str).collect::<Vec<_>>()),
    };
    let listed = listed.iter().map(|sampler| ("--samplers", sampler));
    let mut found: Vec<Contestant> = Vec::new();
    for (flag, sampler) in listed.chain(arguments.sampler.iter().map(|sampler| ("--sampler", sampler))) {
        if found.iter().all(|known| known.sampler != *sampler) {
            found.push(Contestant::new(sampler).map_err(|fault| misuse(flag, &fault))?);
        }
    }
    Ok(found)
}

/// The sampler of the converged solution.
///
/// # Errors
/// One that is not known, or that draws noise.
pub fn reference(sampler: &Value) -> Result<Contestant, Misuse> {
    let reference = Contestant::new(sampler).map_err(|fault| misuse("--reference", &fault))?;
    if reference.stochastic {
        let title = reference.title;
        return Err(Misuse(format!(
            "--reference: {title} draws noise and converges to no picture of the start; name one that does not, such as \
             `dpmpp_2m`"
        )));
    }
    Ok(reference)
}

fn misuse(flag: &str, fault: &Fault) -> Misuse {
    match fault.pointer.as_str() {
        "" => Misuse(format!("{flag}: {}", fault.message)),
        _ => Misuse(format!("{flag}: {fault}")),
    }
}

/// All that is fixed before the first run.
#[derive(Debug)]
pub struct Setup {
    /// The model.
    pub card: Arc<Card>,
    /// The samplers to compare.
    pub contestants: Vec<Contestant>,
    /// Rising.
    pub steps: Vec<u32>,
    /// Every option filled in.
    pub schedule: Value,
    /// The sampler of the converged solution.
    pub reference: Contestant,
    /// Its steps.
    pub reference_steps: u32,
    /// Its schedule.
    pub reference_schedule: Value,
    /// What all requests have in common.
    common: Map<String, Value>,
}

impl Setup {
    /// Fills in what the model says.
    ///
    /// # Errors
    /// A schedule that is not known, or an option of it.
    pub fn new(
        arguments: &Arguments,
        card: &Arc<Card>,
        contestants: Vec<Contestant>,
        reference: Contestant,
    ) -> Result<Self, Misuse> {
        let mut steps = arguments.steps.clone();
        steps.sort_unstable();
        steps.dedup();
        let schedule = arguments.schedule.clone().unwrap_or_else(|| card.defaults.schedule.as_str().into());
        let refused = |fault: Fault| misuse("--schedule", &fault);
        let schedule = schedule::canonical(&schedule, &ENDS).map_err(refused)?;
        let most = steps.last().copied().unwrap_or(1) as usize;
        let reference_schedule = between_the_ends_of(&schedule, card, most).map_err(refused)?;
        let (card, common, reference_steps) = (card.clone(), common(arguments, card), arguments.reference_steps);
        Ok(Self { card, contestants, steps, schedule, reference, reference_steps, reference_schedule, common })
    }

    /// A name for each progress bar: the samplers', then the reference's.
    pub fn lanes(&self) -> Vec<String> {
        self.contestants.iter().map(|it| it.title.clone()).chain(["converged solution".to_owned()]).collect()
    }

    /// The runs: each sampler's by rising steps, then the reference, then the reference in half its steps.
    pub fn wishes(&self) -> Vec<Wish> {
        let mut wishes = Vec::new();
        for (lane, contestant) in self.contestants.iter().enumerate() {
            wishes.extend(self.steps.iter().map(|steps| self.wish(contestant, *steps, &self.schedule, lane)));
        }
        let lane = self.contestants.len();
        let reference = |steps| self.wish(&self.reference, steps, &self.reference_schedule, lane);
        wishes.extend([reference(self.reference_steps), reference(self.reference_steps / 2)]);
        wishes
    }

    fn wish(&self, contestant: &Contestant, steps: u32, schedule: &Value, lane: usize) -> Wish {
        let mut request = self.common.clone();
        request.insert("sampler".into(), contestant.sampler.clone());
        request.insert("steps".into(), steps.into());
        request.insert("schedule".into(), schedule.clone());
        request.insert("output".into(), json!({ "format": "safetensors" }));
        Wish { name: format!("{} in {steps} steps", contestant.title), lane, request: request.into() }
    }
}

fn common(arguments: &Arguments, card: &Card) -> Map<String, Value> {
    let heart = card.text.is_some().then_some("a red heart, twemoji style");
    let fields = [
        ("prompt", arguments.prompt.as_deref().or(heart).map(Value::from)),
        ("negative_prompt", arguments.negative.clone().map(Value::from)),
        ("label", arguments.label.map(Value::from)),
        ("seed", Some(arguments.seed.into())),
        ("count", Some(arguments.seeds.into())),
        ("width", arguments.size.map(|size| size.0.into())),
        ("height", arguments.size.map(|size| size.1.into())),
        ("guidance", arguments.guidance.clone()),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Levels uniform in lambda from the noisiest to the least noisy level of a schedule in as many steps as it takes, told
/// exactly, with its start and end.
fn between_the_ends_of(schedule: &Value, card: &Card, most: usize) -> Result<Value, Fault> {
    let (kind, options) = find(schedule, SCHEDULES, |kind: &Kind| &kind.entry)?;
    let spacing = kind.entry.read(options)?;
    let ends = spacing.ends().or(&ENDS);
    let ground = Ground { process: &*card.process, offset: card.steps_offset, latent: card.latent };
    let grid = |steps| spacing.grid(&ground, spacing.steps().map_or(steps, |own| own as usize), &ends);
    let grid = grid(MOST_STEPS).or_else(|_| grid(most))?;
    let mut lambdas = grid.levels().iter().filter_map(|level| Some(level.lambda()).filter(|lambda| lambda.is_finite()));
    let (first, last) = (lambdas.next(), lambdas.next_back());
    Ok(json!({
        "name": "uniform_lambda", "lambda_min": first, "lambda_max": last,
        "start": ends.start, "time": Time::Real, "end": ends.end,
    }))
}
