use std::sync::Arc;

use serde_json::Value;
use tch::Kind;

use super::{Told, plan::kind};
use crate::{
    edit::{self, Code, Cost, Invert, Method, Walker, Words, attention::Prompt, tail},
    error::{Fault, Result},
    guidance::{self, Guidance},
    job::{self, Generation, Precision, PromptSyntax},
    model::Card,
    pixels::Given,
    process::Grid,
    wrapper::Stack,
};

/// What is done to a given picture.
pub struct Editing {
    /// How.
    pub method: Box<dyn Method>,
    /// Share of the steps that run.
    pub strength: f64,
    /// What the picture shows.
    pub source: Told,
    source_prompt: String,
    /// How the network is steered towards that; `None`: as towards the wish.
    pub source_guidance: Option<Arc<dyn Guidance>>,
    /// The number type of its states.
    pub kind: Kind,
    /// Whether its code is all that is made.
    pub inverts: bool,
    /// The picture and its mask at the size of the request, once they were read.
    pub given: Option<Arc<Given>>,
    /// A code that was found before, where the request names one, once it was read.
    pub code: Option<Code>,
    coded: bool,
}

impl Editing {
    /// What a valid request's edit says.
    ///
    /// # Errors
    /// A method that this version does not know or read.
    pub fn new(card: &Arc<Card>, request: &Generation, edit: &job::Edit) -> Result<Self, Fault> {
        let method = edit::read(&edit.method).map_err(|fault| fault.under("/method"))?;
        let scale = method.invert().and_then(Invert::source_guidance);
        let source_guidance = scale.map(guidance::scaled).transpose()?;
        let prompts = [edit.source_prompt.as_str(), &request.negative_prompt];
        Ok(Self {
            method,
            strength: edit.strength,
            source: Told::new(card.clone(), prompts, request.prompt_syntax, edit.source_label),
            source_prompt: edit.source_prompt.clone(),
            source_guidance,
            kind: Kind::Float,
            inverts: false,
            given: None,
            code: None,
            coded: edit.inversion.is_some(),
        })
    }

    /// The same up to its code, under that guidance.
    ///
    /// # Errors
    /// A method that finds none.
    pub fn inverting(self, guidance: Arc<dyn Guidance>, precision: Precision) -> Result<Self, Fault> {
        if self.method.invert().is_none_or(|invert| invert.parts(1).is_empty()) {
            return Err(Fault::new("/method", "finds no code that could be kept"));
        }
        Ok(Self { source_guidance: Some(guidance), inverts: true, kind: kind(precision), ..self })
    }

    /// Whether the method can use the prompts and the guidance.
    ///
    /// # Errors
    /// What it cannot.
    pub fn suits(&self, request: &Generation, guidance: &dyn Guidance) -> Result<(), Fault> {
        let Some(invert) = self.method.invert() else { return Ok(()) };
        if invert.finds_words() && request.prompt_syntax != PromptSyntax::Plain {
            let message =
                "must be plain: attention control finds words by their places in one chunk of unweighted text";
            return Err(Fault::new("/prompt_syntax", message));
        }
        let read = reader(&self.source.card);
        let words = read.as_ref().map(|read| self.words(&request.prompt, read));
        invert.suits(words.as_ref(), guidance)
    }

    /// Both prompts, word by word.
    pub fn words<'a>(&self, wish: &str, read: &'a impl Fn(&str) -> Prompt) -> Words<'a> {
        Words { source: read(&self.source_prompt), wish: read(wish), read }
    }

    /// Those of the two halves' costs that are its own.
    pub fn halves(&self, cost: Cost) -> Cost {
        let invert = if self.coded { Some(0) } else { cost.invert };
        let edit = if self.inverts { Some(0) } else { cost.edit };
        Cost { invert, edit, ..cost }
    }

    /// The legs of a schedule of `steps` steps that are walked; none at strength 0.
    ///
    /// # Errors
    /// A sampler whose steps are given one by one and cannot be taken apart, or one that the method cannot use.
    pub fn legs(&self, grid: &Grid, steps: usize, (stack, value): (&Stack, &Value)) -> Result<Vec<Grid>, Fault> {
        let legs = tail(grid, steps, self.strength).map_or_else(Vec::new, |tail| self.method.legs(tail));
        let whole = legs.iter().all(|leg| leg == grid);
        if !whole && !stack.solver.divides() {
            let name = stack.sampler.entry.name;
            let message = format!("the steps of `{name}` are given one by one: all of them run, once, at strength 1");
            return Err(Fault::new("/strength", message));
        }
        if let Some(grid) = legs.first() {
            let walker = Walker { value, solver: &*stack.solver, wrapped: !stack.wrappers.is_empty(), grid };
            self.method.carried_by(&walker).map_err(|fault| fault.under("/sampler"))?;
        }
        Ok(legs)
    }

    /// Whether the path starts from noise alone.
    pub fn from_noise(&self) -> bool {
        self.strength >= 1.0
    }
}

/// How a model reads a prompt word by word, if it reads text.
pub fn reader(card: &Card) -> Option<impl Fn(&str) -> Prompt> {
    let tokenizer = card.text.as_ref().map(|text| &text.tokenizer)?;
    Some(|text: &str| Prompt::new(tokenizer.encode(text).ids, tokenizer.words(text)))
}
