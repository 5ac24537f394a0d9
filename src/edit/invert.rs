use futures_util::future::LocalBoxFuture;
use tch::Tensor;

use super::{Code, Part, attention::Prompt};
use crate::{
    denoiser::Conditions,
    error::{Fault, Result},
    guidance::Guidance,
    process::Grid,
    sampler::{AnySolver, Run},
};

/// Evaluations for each picture; `None` where the data decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Of finding the code.
    pub invert: Option<usize>,
    /// Of walking on from it.
    pub edit: Option<usize>,
    /// The most of both together.
    pub most: usize,
}

impl Cost {
    /// Of both together.
    pub fn known(&self) -> Option<u64> {
        Some((self.invert? + self.edit?) as u64)
    }

    /// A cost that is known.
    pub fn of(invert: usize, edit: usize) -> Self {
        Self { invert: Some(invert), edit: Some(edit), most: invert + edit }
    }
}

/// What an edit walks on with.
pub struct Target<'a> {
    /// The run under the wish; its state is not set yet.
    pub run: Run,
    /// What the given picture shows, for as many rows.
    pub source: Conditions,
    /// The request's sampler.
    pub solver: &'a dyn AnySolver,
    /// Both prompts, of a model that reads text.
    pub words: Option<&'a Words<'a>>,
    /// Pixels of a latent's side.
    pub factor: i64,
}

/// What the picture shows and the wish, word by word.
pub struct Words<'a> {
    /// What it shows.
    pub source: Prompt,
    /// The wish.
    pub wish: Prompt,
    /// Makes a prompt of a phrase.
    pub read: &'a dyn Fn(&str) -> Prompt,
}

/// The words of a model that reads text.
///
/// # Errors
/// Of one that does not.
pub fn needs_text<'a>(words: Option<&'a Words<'a>>) -> Result<&'a Words<'a>, Fault> {
    words.ok_or_else(|| Fault::new("/method", "needs a model that reads text"))
}

/// A method that finds a code for a picture and walks on from it.
pub trait Invert: Send + Sync {
    /// Scale of the guidance towards what the picture shows while its code is found; `None`: the request's guidance.
    fn source_guidance(&self) -> Option<f64>;

    /// The tensors of its code over so many steps, by name; none where it is not worth a file.
    fn parts(&self, steps: usize) -> Vec<(&'static str, Part)>;

    /// Options that are read after the code is found, and that an edit from a file may choose.
    fn later(&self) -> &'static [&'static str] {
        &["feather"]
    }

    /// Whether the code is drawn, another one for each seed; else all pictures of a job share it.
    fn draws(&self) -> bool {
        false
    }

    /// Whether it looks for words among the tokens of the prompts, which must then be `plain`.
    fn finds_words(&self) -> bool {
        false
    }

    /// States that are asked about at once for each picture of an edit.
    fn lanes(&self) -> usize {
        1
    }

    /// Whether it can use these prompts and this guidance.
    ///
    /// # Errors
    /// What it cannot, and what it can.
    fn suits(&self, words: Option<&Words>, guidance: &dyn Guidance) -> Result<(), Fault> {
        let _ = (words, guidance);
        Ok(())
    }

    /// Evaluations over the steps of an edit.
    fn cost(&self, grid: &Grid, solver: &dyn AnySolver) -> Cost;

    /// The code of the clean states `run.x` `[n, C, h, w]`, under what the picture shows.
    fn find<'a>(&'a self, run: Run, solver: &'a dyn AnySolver) -> LocalBoxFuture<'a, Result<Code>>;

    /// The states `[n, C, h, w]` at the end of the run's grid.
    fn edit<'a>(&'a self, code: &'a Code, target: Target<'a>) -> LocalBoxFuture<'a, Result<Tensor>>;
}
