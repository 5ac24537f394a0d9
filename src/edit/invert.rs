use futures_util::future::LocalBoxFuture;
use tch::Tensor;

use super::{Code, Part};
use crate::{
    denoiser::Conditions,
    error::Result,
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

    /// States that are asked about at once for each picture of an edit.
    fn lanes(&self) -> usize {
        1
    }

    /// Evaluations over the steps of an edit.
    fn cost(&self, grid: &Grid, solver: &dyn AnySolver) -> Cost;

    /// The code of the clean states `run.x` `[n, C, h, w]`, under what the picture shows.
    fn find<'a>(&'a self, run: &'a Run, solver: &'a dyn AnySolver) -> LocalBoxFuture<'a, Result<Code>>;

    /// The states `[n, C, h, w]` at the end of the run's grid.
    fn edit<'a>(&'a self, code: &'a Code, target: Target<'a>) -> LocalBoxFuture<'a, Result<Tensor>>;
}
