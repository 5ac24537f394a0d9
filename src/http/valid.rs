//! From a wish to a valid job: every default filled in, every field checked against the model, all faults together.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use serde_json::{Value, json};

use crate::{
    config::Limits,
    error::Fault,
    guidance,
    http::{request::GenerateRequest, webhook::WebhookWish},
    job::{Generation, PromptSyntax, Request, Warning},
    limits::{self, Cost, LAST_SEED},
    model::Card,
    prompt,
    sampler::SAMPLERS,
    schedule,
    store::hooks::Webhook,
    task::{Cards, Task},
    wrapper::{self, Stack},
};

/// A request that may be stored.
#[derive(Clone, Debug)]
pub struct Valid {
    /// The job's request.
    pub request: Request,
    /// Remarks for its client.
    pub warnings: Vec<Warning>,
    /// What it will cost.
    pub cost: Cost,
    /// Where its news go.
    pub webhook: Option<Webhook>,
}

/// What a wish is checked against besides its model.
pub struct Wanted<'a> {
    /// What it may cost.
    pub limits: &'a Limits,
    /// Names the blob of the noise that came along.
    pub latents: Option<Value>,
    /// Found before.
    pub faults: Vec<Fault>,
}

/// Checks a wish against its model and fills in every default; `cards` finds further models by their ids.
///
/// # Errors
/// Every fault.
pub fn generation(request: GenerateRequest, model: (&Arc<Card>, Cards), wanted: Wanted) -> Result<Valid, Vec<Fault>> {
    let (mut check, latents) = Check::new(model, wanted);
    let generation = check.generation(request, latents);
    check.finish(Some(generation))
}

/// A wish on its way to be valid.
pub(super) struct Check<'a> {
    pub(super) card: &'a Arc<Card>,
    cards: Cards<'a>,
    pub(super) limits: &'a Limits,
    pub(super) faults: Vec<Fault>,
    warnings: Vec<Warning>,
    webhook: Option<Webhook>,
}

impl<'a> Check<'a> {
    /// With the name of the noise that came along.
    pub(super) fn new((card, cards): (&'a Arc<Card>, Cards<'a>), wanted: Wanted<'a>) -> (Self, Option<Value>) {
        let Wanted { limits, latents, faults } = wanted;
        (Self { card, cards, limits, faults, warnings: Vec::new(), webhook: None }, latents)
    }

    /// The valid wish, or all that is wrong with it; there is none beside some faults.
    pub(super) fn finish(mut self, request: Option<impl Into<Request>>) -> Result<Valid, Vec<Fault>> {
        let Some(request) = request.map(Into::into) else { return Err(self.faults) };
        let cost = self.cost(&request);
        match (cost, self.faults) {
            (Some(cost), faults) if faults.is_empty() => {
                Ok(Valid { request, warnings: self.warnings, cost, webhook: self.webhook })
            }
            (_, faults) => Err(faults),
        }
    }
}

impl Check<'_> {
    pub(super) fn generation(&mut self, request: GenerateRequest, latents: Option<Value>) -> Generation {
        let (width, height) = self.size(request.width, request.height);
        // A sampler that is at fault has no habit; the rest is then only checked.
        let (sampler, stack) = self.sampler(request.sampler.as_ref()).unzip();
        let schedule = self.schedule(request.schedule.as_ref(), stack.as_ref());
        let seed = request.seed.unwrap_or_else(draw_seed);
        self.faults.extend(limits::seeds(seed, request.count));
        self.faults.extend(limits::metadata(&request.metadata));
        self.webhook(request.webhook);
        self.label("/label", request.label);
        self.clip_skip(request.clip_skip);
        let prompt_syntax = request.prompt_syntax.unwrap_or_default();
        self.prompt("/prompt", &request.prompt, prompt_syntax);
        self.prompt("/negative_prompt", &request.negative_prompt, prompt_syntax);
        self.alone(request.count, latents.is_some());
        if request.previews > 0 && request.preview_every > 0 {
            self.fault("/previews", "must be left out when `preview_every` is given");
        }
        Generation {
            model: self.card.id.to_string(),
            edit: None,
            label: request.label,
            prompt: request.prompt,
            negative_prompt: request.negative_prompt,
            count: request.count,
            seed,
            width,
            height,
            clip_skip: request.clip_skip,
            prompt_syntax,
            steps: self.steps(request.steps, &schedule, stack.as_ref()),
            schedule,
            sampler: sampler.unwrap_or_default(),
            guidance: self.guidance(request.guidance.as_ref()),
            latents,
            output: request.output,
            preview_every: request.preview_every,
            previews: request.previews,
            priority: request.priority,
            metadata: request.metadata,
        }
    }

    pub(super) fn fault(&mut self, pointer: &str, message: impl Into<String>) {
        self.faults.push(Fault::new(pointer, message));
    }

    pub(super) fn warn(&mut self, pointer: &str, message: impl Into<String>) {
        self.warnings.push(Warning { pointer: pointer.into(), message: message.into() });
    }

    /// The asked size, else the native one; a fault where the model cannot make it.
    pub(super) fn size(&mut self, width: Option<u32>, height: Option<u32>) -> (u32, u32) {
        let native = self.card.native();
        let size = (width.unwrap_or(native.0), height.unwrap_or(native.1));
        for (pointer, pixels) in [("/width", size.0), ("/height", size.1)] {
            let multiple = self.card.multiple;
            if !pixels.is_multiple_of(multiple) {
                self.fault(pointer, format!("must be a multiple of {multiple} for the model `{}`", self.card.id));
            }
        }
        self.faults.extend(self.limits.picture(size.0, size.1));
        size
    }

    pub(super) fn label(&mut self, pointer: &str, label: Option<u32>) {
        match (label, self.card.labels) {
            (Some(_), None) => self.fault(pointer, format!("the model `{}` takes no label", self.card.id)),
            (Some(label), Some(labels)) if label >= labels => {
                self.fault(pointer, format!("must be at most {}", labels.saturating_sub(1)));
            }
            _ => {}
        }
    }

    pub(super) fn webhook(&mut self, wish: Option<WebhookWish>) {
        match wish.map(WebhookWish::valid).transpose() {
            Ok(webhook) => self.webhook = webhook,
            Err(fault) => self.faults.push(fault),
        }
    }

    fn clip_skip(&mut self, skip: u32) {
        let most = self.card.text.as_ref().map_or(0, |text| text.layers.saturating_sub(1));
        if skip > most {
            self.fault("/clip_skip", format!("must be at most {most} for the model `{}`", self.card.id));
        }
    }

    pub(super) fn prompt(&mut self, pointer: &str, prompt: &str, syntax: PromptSyntax) {
        if let Some(fault) = self.limits.prompt(pointer, prompt) {
            return self.faults.push(fault);
        }
        match &self.card.text {
            None if prompt.is_empty() => {}
            None => self.warn(pointer, format!("ignored: the model `{}` reads no text", self.card.id)),
            Some(text) => {
                let dropped = prompt::encode(prompt, syntax, text).dropped;
                let more = match syntax {
                    PromptSyntax::Plain => "the model reads".to_owned(),
                    PromptSyntax::Weighted => format!("fit {} chunks, which is limits.prompt_chunks", text.chunks),
                };
                if dropped > 0 {
                    self.warn(pointer, format!("truncated: the last {dropped} tokens are more than {more}"));
                }
            }
        }
    }

    /// One noise makes one picture.
    fn alone(&mut self, count: u32, latents: bool) {
        if latents && count != 1 {
            self.fault("/count", "must be 1 when `latents` is given");
        }
    }

    fn sampler(&mut self, given: Option<&Value>) -> Option<(Value, Stack)> {
        let default = Value::from(self.card.defaults.sampler.as_str());
        let chosen = wrapper::canonical(given.unwrap_or(&default));
        chosen.map_err(|fault| self.faults.push(fault.under("/sampler"))).ok()
    }

    fn schedule(&mut self, given: Option<&Value>, stack: Option<&Stack>) -> Value {
        let line = stack.map_or(&SAMPLERS[0], |stack| stack.sampler);
        let default = Value::from(line.schedule.unwrap_or(&self.card.defaults.schedule));
        let times = stack.and_then(|stack| stack.solver.times());
        let own = times.map(|times| json!({ "name": "custom", "timesteps": times }));
        let chosen = given.or(own.as_ref()).unwrap_or(&default);
        let chosen = schedule::canonical(chosen, &line.ends);
        if own.is_some_and(|own| chosen.as_ref().is_ok_and(|chosen| chosen["timesteps"] != own["timesteps"])) {
            self.fault("/schedule", "must be left out: the steps of the sampler bring their own times");
        }
        self.keep("/schedule", chosen)
    }

    /// The asked steps, else the model's; none beside a schedule or a sampler that brings its own.
    fn steps(&mut self, given: Option<u32>, schedule: &Value, stack: Option<&Stack>) -> Option<u32> {
        let planned = stack.and_then(|stack| stack.solver.steps());
        let planned = planned.map(|steps| u32::try_from(steps).expect("a plan is short"));
        let Some(own) = schedule::own_steps(schedule).or(planned) else {
            return Some(given.unwrap_or(self.card.defaults.steps));
        };
        if planned.is_some_and(|planned| planned != own) {
            self.fault("/schedule", format!("has {own} steps, and the sampler's plan another number"));
        }
        if given.is_some_and(|given| given != own) {
            self.fault("/steps", format!("must be left out or {own}, the number of steps that are given one by one"));
        }
        None
    }

    fn guidance(&mut self, given: Option<&Value>) -> Value {
        let default = Value::from(self.card.defaults.guidance);
        let chosen = guidance::canonical(given.unwrap_or(&default));
        self.keep("/guidance", chosen)
    }

    fn keep(&mut self, pointer: &str, chosen: Result<Value, Fault>) -> Value {
        chosen.unwrap_or_else(|fault| {
            self.faults.push(fault.under(pointer));
            Value::Null
        })
    }

    /// What the job costs, which only a job without faults can tell.
    fn cost(&mut self, request: &Request) -> Option<Cost> {
        if !self.faults.is_empty() {
            return None;
        }
        let pictures = (0..request.count()).collect();
        match Task::new(self.card.clone(), request, pictures, self.cards) {
            Ok(task) => {
                let cost = Cost::of((task.most(), task.rows()), self.card, request.size());
                self.faults.extend(self.limits.work(cost));
                Some(cost)
            }
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }
}

/// A seed from the system's randomness, which is what keys the standard library's hashes; low enough for any count.
pub fn draw_seed() -> u64 {
    RandomState::new().hash_one("seed") % (LAST_SEED - 1000)
}
