use std::sync::Arc;

use serde_json::Value;

use crate::{
    error::{Failure, Fault, Result},
    guidance::{self, GUIDANCES, Guidance},
    job::Generation,
    model::Card,
    process::Grid,
    registry::{Entry, find},
    sampler::{AnySolver, SAMPLERS, Sampler},
    schedule::{self, Ends, Ground, SCHEDULES},
};

/// Everything a run needs besides the network, worked out off the engine thread.
pub struct Plan {
    /// The model.
    pub card: Arc<Card>,
    /// The valid request.
    pub request: Generation,
    /// Indices of the pictures still to make.
    pub pictures: Vec<u32>,
    /// How the path is walked.
    pub solver: Box<dyn AnySolver>,
    /// How the network is steered.
    pub guidance: Box<dyn Guidance>,
    /// The levels.
    pub grid: Grid,
    /// How the path starts and ends.
    pub ends: Ends,
    /// Token ids of prompt and negative prompt, for models that read text.
    pub tokens: Option<[Vec<i64>; 2]>,
    /// The initial noise `[C, h, w]`, where the request brings its own.
    pub latents: Option<Vec<f32>>,
}

impl Plan {
    /// The plan of a request whose registries' values are canonical.
    ///
    /// # Errors
    /// A sampler, schedule or guidance that this version does not know or read, or a schedule that has no such number of
    /// steps on this model.
    pub fn new(card: Arc<Card>, request: Generation, pictures: Vec<u32>) -> Result<Self, Fault> {
        let solver = read(&request.sampler, SAMPLERS, |kind: &Sampler| &kind.entry, "/sampler")?;
        let guidance = read(&request.guidance, GUIDANCES, |kind: &guidance::Kind| &kind.entry, "/guidance")?;
        let schedule = read(&request.schedule, SCHEDULES, |kind: &schedule::Kind| &kind.entry, "/schedule")?;
        let (sampler, _) = find(&request.sampler, SAMPLERS, |kind: &Sampler| &kind.entry)?;
        let ends = schedule.ends().or(&sampler.ends);
        let latent = card.latent_for(request.width, request.height);
        let ground = Ground { process: &*card.process, offset: card.steps_offset, latent };
        let steps = schedule.steps().or(request.steps).unwrap_or(card.defaults.steps);
        let grid = schedule.grid(&ground, steps as usize, &ends)?;
        let tokens = card
            .text
            .as_ref()
            .map(|text| [&request.prompt, &request.negative_prompt].map(|prompt| text.tokenizer.encode(prompt).ids));
        Ok(Self { card, request, pictures, solver, guidance, grid, ends, tokens, latents: None })
    }

    /// The same with initial noise `[C, h, w]` of the client's.
    pub fn with_latents(mut self, latents: Option<Vec<f32>>) -> Self {
        self.latents = latents;
        self
    }

    /// Network evaluations for each picture.
    pub fn evaluations(&self) -> u64 {
        self.solver.evaluations(&self.grid) as u64
    }

    /// The most rows it asks for at once.
    pub fn rows(&self) -> u32 {
        let steps = self.grid.len();
        let most = (0..steps).map(|step| self.guidance.branches(step as f64 / steps as f64).len()).max();
        let branches = u32::try_from(most.unwrap_or(1)).expect("few branches");
        branches * u32::try_from(self.pictures.len()).expect("few pictures")
    }

    /// Latent shape of the pictures, `[C, h, w]`.
    pub fn shape(&self) -> [i64; 3] {
        self.card.latent_for(self.request.width, self.request.height)
    }

    /// Seeds of the pictures to make.
    pub fn seeds(&self) -> Vec<u64> {
        self.pictures.iter().map(|index| self.request.seed + u64::from(*index)).collect()
    }
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
