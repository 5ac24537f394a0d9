//! An edit that starts from an inversion: what was made once is not asked for again, and what does not fit is refused.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    app::App,
    edit::{
        self,
        file::{About, InversionFile},
    },
    error::Fault,
    http::{
        caller::Caller,
        edit_request::EditRequest,
        error::Result,
        reference::{Earlier, fetch},
    },
    job::{Inversion, Request},
    model::Card,
    store::blobs::sha256,
    task::{Cards, Plan},
};

/// The file of an inversion that came along or was named.
pub struct Inverted {
    /// As it came.
    pub bytes: Bytes,
    /// What it was made with.
    pub about: About,
}

impl Inverted {
    /// What `inversion` names, if the request has it.
    ///
    /// # Errors
    /// Outside, what is ours to mend; inside, the fault of the field.
    pub async fn read(app: &App, caller: &Caller, given: Option<&Value>) -> Result<Result<Option<Self>, Fault>> {
        let Some(given) = given else { return Ok(Ok(None)) };
        let id = given.as_str().filter(|id| Uuid::try_parse(id).is_ok()).map(|id| json!({ "file": id }));
        let bytes = fetch(app, caller, id.as_ref().unwrap_or(given), Earlier::File).await?;
        let read = bytes.and_then(|bytes| {
            let about = InversionFile::read(&bytes)?.about;
            Ok(Some(Self { bytes, about }))
        });
        Ok(read.map_err(|message| Fault::new("/inversion", message)))
    }

    /// What a job's request says instead of it.
    pub fn reference(&self) -> Value {
        json!({ "blob": format!("sha256:{}", sha256(&self.bytes)) })
    }

    /// Fills in what the request leaves open with what the inversion was made with.
    ///
    /// # Errors
    /// Another method, or options of it that belong to the way that is gone already.
    pub fn fill(&self, request: &mut EditRequest) -> Result<(), Fault> {
        let Inversion { model, steps, width, height, sampler, schedule, strength, .. } = &self.about.request;
        let EditRequest { edit, generation } = request;
        generation.model.get_or_insert_with(|| model.clone());
        generation.steps = generation.steps.or(*steps);
        generation.width.get_or_insert(*width);
        generation.height.get_or_insert(*height);
        generation.sampler.get_or_insert_with(|| sampler.clone());
        generation.schedule.get_or_insert_with(|| schedule.clone());
        generation.prompt_syntax.get_or_insert(self.about.request.prompt_syntax);
        if generation.clip_skip == 0 {
            generation.clip_skip = self.about.request.clip_skip;
        }
        edit.strength.get_or_insert(*strength);
        if edit.source_prompt.is_empty() {
            edit.source_prompt.clone_from(&self.about.request.prompt);
        }
        edit.source_label = edit.source_label.or(self.about.request.label);
        edit.method = Some(self.method(edit.method.as_ref())?);
        Ok(())
    }

    /// The inversion's method with the options that an edit may still choose.
    fn method(&self, given: Option<&Value>) -> Result<Value, Fault> {
        let mut made = self.about.request.method.clone();
        let name = made["name"].clone();
        let (chosen, options) = match given {
            None => return Ok(made),
            Some(Value::Object(fields)) => (fields.get("name").cloned().unwrap_or_default(), fields.clone()),
            Some(named) => (named.clone(), serde_json::Map::new()),
        };
        if chosen != name {
            return Err(Fault::new("/method", format!("must be left out or {name}, which made the inversion")));
        }
        for (option, value) in options.into_iter().filter(|(option, _)| option != "name") {
            made[option] = value;
        }
        let chosen = edit::canonical(&made).map_err(|fault| fault.under("/method"))?;
        self.only_later(&chosen)?;
        Ok(chosen)
    }

    /// Whether a method differs from the inversion's in options that are read after the code is found.
    fn only_later(&self, chosen: &Value) -> Result<(), Fault> {
        let made = &self.about.request.method;
        let known = edit::read(chosen).map_err(|fault| fault.under("/method"))?;
        let later = known.invert().map_or(&[][..], |invert| invert.later());
        let changed = chosen
            .as_object()
            .into_iter()
            .flatten()
            .find(|(option, value)| made[option.as_str()] != **value && !later.contains(&option.as_str()));
        changed.map_or(Ok(()), |(option, _)| {
            let message = "belongs to the way back, which the inversion has gone already: leave it out";
            Err(Fault::new(format!("/method/{option}"), message))
        })
    }

    /// Whether a request that is valid otherwise fits the inversion.
    ///
    /// # Errors
    /// What does not.
    pub fn fits(&self, request: &Request, card: &Arc<Card>, cards: Cards) -> Result<(), Vec<Fault>> {
        let made = Request::from(self.about.request.edit());
        let mut faults = Vec::new();
        if card.sha256 != self.about.model_sha256 {
            let message = format!("was made by the model `{}` with other weights than it has now", made.model());
            faults.push(Fault::new("/inversion", message));
        }
        let [made, asked] = [&made, request].map(|request: &Request| serde_json::to_value(request).unwrap_or_default());
        for field in BOUND.iter().filter(|field| made[**field] != asked[**field]) {
            let message = format!("must be left out or {}: the inversion was made with it", made[*field]);
            faults.push(Fault::new(format!("/{field}"), message));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let Some(pictures) = request.pictures() else { return Ok(()) };
        let plan = Plan::new(card.clone(), pictures.clone(), vec![0], cards).map_err(|fault| vec![fault])?;
        let checked = InversionFile::read(&self.bytes).and_then(|file| file.check(&plan.parts(), plan.sizes()));
        checked.map_err(|message| vec![Fault::new("/inversion", message)])
    }
}

/// Fields that an edit shares with its inversion.
const BOUND: [&str; 11] = [
    "model",
    "width",
    "height",
    "steps",
    "sampler",
    "schedule",
    "clip_skip",
    "prompt_syntax",
    "strength",
    "source_prompt",
    "source_label",
];
