use std::sync::Arc;

use serde_json::Value;
use tch::Kind;

use super::Editing;
use crate::{
    edit::{Code, Cost, Invert, Part, Sizes},
    error::{Failure, Fault, Result},
    guidance::{self, GUIDANCES, Guidance},
    job::{Generation, Precision, PromptSyntax},
    model::{Card, Text},
    pixels::Given,
    process::Grid,
    prompt::{self, Encoded},
    registry::{Entry, find},
    schedule::{self, Ends, Ground, SCHEDULES},
    wrapper::Stack,
};

/// The card of a model by its id, or what to tell a client about an id that nobody knows.
pub type Cards<'a> = &'a dyn Fn(&str) -> Result<Arc<Card>, String>;

/// A model and what the request's prompts are to it.
pub struct Told {
    /// The model.
    pub card: Arc<Card>,
    /// Prompt and negative prompt in as many chunks, for models that read text.
    pub prompts: Option<[Encoded; 2]>,
    /// Class index, for models that take one.
    pub label: Option<u32>,
}

impl Told {
    /// With prompt and negative prompt, or a class index.
    pub fn new(card: Arc<Card>, prompts: [&str; 2], syntax: PromptSyntax, label: Option<u32>) -> Self {
        let text = card.text.as_ref();
        let prompts = text.map(|text| prompts.map(|prompt| prompt::encode(prompt, syntax, text)));
        let mut told = Self { card, prompts, label };
        told.pad(told.chunks());
        told
    }

    fn of(card: Arc<Card>, request: &Generation) -> Self {
        let prompts = [request.prompt.as_str(), &request.negative_prompt];
        Self::new(card, prompts, request.prompt_syntax, request.label)
    }

    /// Chunks of its longest prompt; none for models that read no text.
    pub fn chunks(&self) -> usize {
        self.prompts.iter().flatten().map(|prompt| prompt.chunks.len()).max().unwrap_or(0)
    }

    /// Gives every prompt `chunks` chunks; those that it lacks are of the empty prompt.
    pub fn pad(&mut self, chunks: usize) {
        let Some(text) = &self.card.text else { return };
        self.prompts.iter_mut().flatten().for_each(|prompt| prompt.pad(chunks, &text.tokenizer));
    }
}

/// Everything a run needs besides the network, worked out off the engine thread.
pub struct Plan {
    /// The model.
    pub card: Arc<Card>,
    /// The valid request.
    pub request: Generation,
    /// Indices of the pictures still to make.
    pub pictures: Vec<u32>,
    /// How the path is walked.
    pub stack: Stack,
    /// The second model of each wrapper that asks for one.
    pub partners: Vec<Option<Told>>,
    /// How the network is steered.
    pub guidance: Arc<dyn Guidance>,
    /// The levels of the schedule.
    pub grid: Grid,
    /// Those of them that are walked, leg by leg.
    pub legs: Vec<Grid>,
    /// What is done to a given picture.
    pub editing: Option<Editing>,
    /// How the path starts and ends.
    pub ends: Ends,
    /// What the model is told.
    pub told: Told,
    /// The initial noise `[C, h, w]`, where the request brings its own.
    pub latents: Option<Vec<f32>>,
}

impl Plan {
    /// The plan of a request whose registries' values are canonical; `cards` finds further models that it names.
    ///
    /// # Errors
    /// A sampler, schedule or guidance that this version does not know or read, or that does not fit the model.
    pub fn new(card: Arc<Card>, request: Generation, pictures: Vec<u32>, cards: Cards) -> Result<Self, Fault> {
        let stack = Stack::read(&request.sampler).and_then(|stack| stack.fits(&*card.process).map(|()| stack));
        let stack = stack.map_err(|fault| fault.under("/sampler"))?;
        let guidance: Arc<dyn Guidance> =
            read(&request.guidance, GUIDANCES, |kind: &guidance::Kind| &kind.entry, "/guidance")?.into();
        let schedule = read(&request.schedule, SCHEDULES, |kind: &schedule::Kind| &kind.entry, "/schedule")?;
        let ends = schedule.ends().or(&stack.sampler.ends);
        let latent = card.latent_for(request.width, request.height);
        let ground = Ground { process: &*card.process, offset: card.steps_offset, latent };
        let planned = stack.solver.steps().and_then(|steps| u32::try_from(steps).ok());
        let steps = schedule.steps().or(planned).or(request.steps).unwrap_or(card.defaults.steps);
        let grid = schedule.grid(&ground, steps as usize, &ends)?;
        let mut editing = request.edit.as_ref().map(|edit| Editing::new(&card, &request, edit)).transpose()?;
        let legs = match &editing {
            Some(editing) => editing.legs(&grid, steps as usize, (&stack, &request.sampler))?,
            None => vec![grid.clone()],
        };
        if let Some(editing) = &editing {
            editing.suits(&request, &*guidance)?;
        }
        let partners = partners(&stack, &card, &request, cards)?;
        variances(&stack, [&card].into_iter().chain(partners.iter().flatten().map(|partner| &partner.card)))?;
        let mut told = Told::of(card.clone(), &request);
        if let Some(editing) = &mut editing {
            // What the model is told of the picture and of the wish goes side by side.
            let chunks = told.chunks().max(editing.source.chunks());
            told.pad(chunks);
            editing.source.pad(chunks);
        }
        let latents = None;
        Ok(Self { card, request, pictures, stack, partners, guidance, grid, legs, editing, ends, told, latents })
    }

    /// The same with the picture that is edited.
    pub fn with_given(mut self, given: Option<Given>) -> Self {
        if let Some(editing) = &mut self.editing {
            editing.given = given.map(Arc::new);
        }
        self
    }

    /// The same from a code that was found before in that precision.
    pub fn with_code(mut self, code: Option<Code>, precision: Precision) -> Self {
        if let Some(editing) = &mut self.editing {
            editing.code = code;
            editing.kind = kind(precision);
        }
        self
    }

    /// The first half of the edit alone, under that guidance: its code is what is made.
    ///
    /// # Errors
    /// A method that finds no code.
    pub fn inverting(mut self, precision: Precision) -> Result<Self, Fault> {
        let guidance = self.guidance.clone();
        self.editing = self.editing.map(|editing| editing.inverting(guidance, precision)).transpose()?;
        Ok(self)
    }

    /// The same with initial noise `[C, h, w]` of the client's.
    pub fn with_latents(mut self, latents: Option<Vec<f32>>) -> Self {
        self.latents = latents;
        self
    }

    /// Network evaluations for each picture; `None` where the data decide.
    pub fn evaluations(&self) -> Option<u64> {
        if let Some(cost) = self.inversion() {
            return cost.known();
        }
        let legs = self.legs.iter().map(|leg| self.stack.evaluations(leg));
        legs.sum::<Option<usize>>().map(|evaluations| evaluations as u64)
    }

    /// The most network evaluations for each picture.
    pub fn most(&self) -> u64 {
        if let Some(cost) = self.inversion() {
            return cost.most as u64;
        }
        self.legs.iter().map(|leg| self.stack.most(leg) as u64).sum()
    }

    /// What an edit costs that starts from a code, as far as it runs.
    fn inversion(&self) -> Option<Cost> {
        let (editing, leg) = (self.editing.as_ref()?, self.legs.first()?);
        let cost = editing.method.invert()?.cost(leg, &*self.stack.solver);
        Some(editing.halves(cost))
    }

    /// The tensors of the code that an edit starts from.
    pub fn parts(&self) -> Vec<(&'static str, Part)> {
        let invert = self.editing.as_ref().and_then(|editing| editing.method.invert());
        invert.zip(self.legs.first()).map_or_else(Vec::new, |(invert, leg)| invert.parts(leg.len()))
    }

    /// The most rows it asks for at once for each step.
    pub fn rows(&self) -> u32 {
        let steps = self.grid.len();
        let most = (0..steps).map(|step| self.guidance.branches(step as f64 / steps as f64).len()).max();
        let lanes = self.editing.as_ref().and_then(|editing| editing.method.invert()).map_or(1, Invert::lanes);
        let each = u32::try_from(most.unwrap_or(1) + lanes - 1).expect("few branches and lanes");
        each * u32::try_from(self.pictures.len()).expect("few pictures")
    }

    /// Latent shape of the pictures, `[C, h, w]`.
    pub fn shape(&self) -> [i64; 3] {
        self.card.latent_for(self.request.width, self.request.height)
    }

    /// The sizes of what codes are made of.
    pub fn sizes(&self) -> Sizes {
        let chunks = i64::try_from(self.told.chunks()).expect("few chunks");
        let text =
            self.card.text.as_ref().map_or([0, 0], |Text { shape: [length, width], .. }| [chunks * length, *width]);
        Sizes { state: self.shape(), text }
    }

    /// Seeds of the pictures to make.
    pub fn seeds(&self) -> Vec<u64> {
        self.pictures.iter().map(|index| self.request.seed + u64::from(*index)).collect()
    }
}

/// The number type of tensors.
pub fn kind(precision: Precision) -> Kind {
    match precision {
        Precision::F32 => Kind::Float,
        Precision::F64 => Kind::Double,
    }
}

/// A sampler that reads variances needs models that say one.
fn variances<'a>(stack: &Stack, mut cards: impl Iterator<Item = &'a Arc<Card>>) -> Result<(), Fault> {
    let silent = cards.find(|card| stack.solver.reads_variance() && !card.learns_variance);
    silent.map_or(Ok(()), |card| {
        let message =
            format!("`learned` needs a model that was trained to say a variance, and `{}` says none", card.id);
        Err(Fault::new("/sampler/variance", message))
    })
}

/// The second models, each in the state space of the first.
fn partners(stack: &Stack, card: &Card, request: &Generation, cards: Cards) -> Result<Vec<Option<Told>>, Fault> {
    let partner = |(at, id): (usize, Option<&str>)| {
        let Some(id) = id else { return Ok(None) };
        let fault = |message| Fault::new(format!("/sampler/wrap/{at}/model"), message);
        let second = cards(id).map_err(fault)?;
        if second.group != card.group {
            return Err(fault(format!("the models `{}` and `{id}` do not share one latent space", card.id)));
        }
        Ok(Some(Told::of(second, request)))
    };
    stack.wrappers.iter().map(|wrapper| wrapper.partner()).enumerate().map(partner).collect()
}

fn read<D, T: ?Sized>(
    value: &Value,
    registry: &'static [D],
    entry: fn(&D) -> &Entry<T>,
    at: &str,
) -> Result<Box<T>, Fault> {
    let (kind, options) = find(value, registry, entry).map_err(|fault| fault.under(at))?;
    entry(kind).read(options).map_err(|fault| fault.under(at))
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Internal(fault.to_string())
    }
}
