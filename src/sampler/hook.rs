//! Where wrappers take hold of [`march`](fn@super::march): the levels of a step, the newest estimate, the step's slope.

use std::collections::VecDeque;

use futures_util::future::{LocalBoxFuture, ready};
use tch::Tensor;

use crate::{
    ask::Net,
    denoiser::Estimate,
    error::Result,
    process::{Level, Process},
};

/// The estimates of a run, newest first.
#[derive(Debug, Default)]
pub struct History {
    /// Where they were made.
    pub levels: VecDeque<Level>,
    /// What they are.
    pub estimates: VecDeque<Estimate>,
}

impl History {
    /// Adds the newest.
    pub fn push(&mut self, level: Level, estimate: Estimate) {
        self.levels.push_front(level);
        self.estimates.push_front(estimate);
    }

    /// Forgets all but the newest n.
    pub fn truncate(&mut self, n: usize) {
        self.levels.truncate(n);
        self.estimates.truncate(n);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }
}

/// A step before it is taken.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Where it starts; `t` is what the network will be told.
    pub from: Level,
    /// Where it ends.
    pub to: Level,
    /// Steps before this one.
    pub index: usize,
    /// Steps after this one.
    pub left: usize,
    /// What the levels were taken from.
    pub process: &'a dyn Process,
}

/// The slope of a step `x' = c x + C d`: what its estimates come to, with weights that sum to 1.
#[derive(Debug)]
pub struct Slope {
    /// d, `[n, C, h, w]`.
    pub d: Tensor,
    /// Whether d weighs noises; else clean pictures.
    pub of_noise: bool,
    /// Where the estimate at the step's start is in the history: 0, or 1 when the step is corrected.
    pub start: usize,
    /// Estimates in d.
    pub order: usize,
    /// The most estimates that the rule weighs.
    pub highest: usize,
    /// Steps before this one.
    pub index: usize,
    /// Steps after this one.
    pub left: usize,
}

/// A wrapper's hold on the loop.
pub trait Hook {
    /// Before the network is asked: may read the state `x` and move the levels of the step.
    fn span<'a>(&'a mut self, x: &'a Tensor, step: &'a mut Step, net: &'a Net) -> LocalBoxFuture<'a, Result<()>> {
        let _ = (x, step, net);
        Box::pin(ready(Ok(())))
    }

    /// After it: may change the newest estimate, made at `at`, before it enters the history.
    fn estimate(&mut self, newest: &mut Estimate, at: &Level, past: &History) {
        let _ = (newest, at, past);
    }

    /// Whether it changes slopes.
    fn bends(&self) -> bool {
        false
    }

    /// Before the step is taken: may change its slope.
    fn slope(&mut self, slope: &mut Slope, history: &History) {
        let _ = (slope, history);
    }
}

/// The hooks of a run, outermost first.
pub type Hooks = Vec<Box<dyn Hook>>;
