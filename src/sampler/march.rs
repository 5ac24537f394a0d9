//! The one loop that runs every multistep solver: estimate, remember, weigh, step.

use std::collections::VecDeque;

use super::{Run, combine};
use crate::{denoiser::Estimate, error::Result, process::Level};

/// One step as a rule sees it.
#[derive(Debug)]
pub struct Span<'a> {
    /// Where the step starts.
    pub from: Level,
    /// Where it ends.
    pub to: Level,
    /// Levels of the estimates that may be used, newest first; `past[0]` is `from`.
    pub past: &'a [Level],
    /// Steps after this one.
    pub left: usize,
}

/// `x' = x * x + sum x0_j * X0_j + sum eps_j * Eps_j + z * Z`: weights of the state, of the newest estimates (newest
/// first, in both their forms) and of fresh standard normal noise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// Of the state.
    pub x: f64,
    /// Of the clean pictures.
    pub x0: Vec<f64>,
    /// Of the noises.
    pub eps: Vec<f64>,
    /// Of fresh noise.
    pub z: f64,
}

impl Weights {
    /// A step in the data form: state and clean pictures.
    pub fn data<const N: usize>(x: f64, x0: [f64; N]) -> Self {
        Self { x, x0: x0.to_vec(), ..Self::default() }
    }
}

/// A multistep solver: weights from levels alone.
pub trait Rule {
    /// How many estimates it may see; its order.
    fn history(&self) -> usize;

    /// The weights of a step.
    fn predict(&self, span: &Span) -> Weights;

    /// The weights of the step that ended at `span.to`, once more, now that the estimate there is known: `past[0]` is
    /// `to`. `None` leaves the step as it is.
    fn correct(&self, span: &Span) -> Option<Weights> {
        let _ = span;
        None
    }

    /// Whether it draws noise.
    fn stochastic(&self) -> bool {
        false
    }

    /// Whether the order falls towards the end of the path, so that the last step is of order 1.
    fn lower_order_final(&self) -> bool {
        true
    }
}

/// Runs a rule over the run's grid. At step k of N it predicts from at most `min(p, k, N - k + 1)` estimates, and from one
/// into `sigma = 0`, where higher orders are not defined; it corrects with one more.
///
/// # Errors
/// What the network fails with.
pub async fn march<R: Rule>(rule: R, run: Run) -> Result<tch::Tensor> {
    let mut x = run.x.shallow_clone();
    let mut past: VecDeque<Level> = VecDeque::new();
    let mut history: VecDeque<Estimate> = VecDeque::new();
    let mut before: Option<(tch::Tensor, Level, usize)> = None;
    let steps = run.grid.len();
    for (index, (from, to)) in run.grid.steps().enumerate() {
        let left = steps - 1 - index;
        history.push_front(run.denoiser.denoise(&x, &from).await?);
        past.push_front(from);
        if let Some((start, begin, order)) = before.take() {
            let seen = &past.make_contiguous()[..=order];
            let weights = rule.correct(&Span { from: begin, to: from, past: seen, left: left + 1 });
            x = weights.map_or(x, |weights| step(&start, &weights, &history, &run, index));
        }
        history.truncate(rule.history());
        past.truncate(rule.history());
        let order = if to.sigma == 0.0 {
            1
        } else if rule.lower_order_final() {
            left + 1
        } else {
            usize::MAX
        };
        let order = history.len().min(order);
        let weights = rule.predict(&Span { from, to, past: &past.make_contiguous()[..order], left });
        let next = step(&x, &weights, &history, &run, index);
        before = Some((std::mem::replace(&mut x, next), from, order));
    }
    Ok(x)
}

fn step(x: &tch::Tensor, weights: &Weights, history: &VecDeque<Estimate>, run: &Run, index: usize) -> tch::Tensor {
    let step = u32::try_from(index).expect("at most 1000 steps");
    let z = (weights.z != 0.0).then(|| run.noise.step(step));
    let mut terms = vec![(weights.x, x)];
    terms.extend(weights.x0.iter().zip(history).map(|(weight, estimate)| (*weight, &estimate.x0)));
    terms.extend(weights.eps.iter().zip(history).map(|(weight, estimate)| (*weight, &estimate.eps)));
    terms.extend(z.iter().map(|z| (weights.z, z)));
    combine(&terms)
}
