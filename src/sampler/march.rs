//! The one loop that runs every multistep solver: estimate, remember, correct, weigh, step.

use tch::Tensor;

use super::{
    Run, combine,
    hook::{History, Hooks, Slope, Step},
    span::{Rule, Span, Weights},
};
use crate::{denoiser::Estimate, error::Result, noise::Noise, process::Level};

/// Runs a rule over the run's grid. At step k of N it predicts from at most `min(p, k, N - k + 1)` estimates, and from one
/// into `sigma = 0`, where higher orders are not defined; it corrects with one more. Estimates that the run brings along
/// count as made before the first step.
///
/// # Errors
/// What the network fails with.
pub async fn march<R: Rule>(rule: R, mut run: Run) -> Result<Tensor> {
    if let Some(share) = rule.path() {
        run.noise.follow(share, run.grid.steps().map(|(from, to)| (from.lambda(), to.lambda())).collect());
    }
    run.denoiser.threshold = rule.threshold();
    let mut x = run.x.shallow_clone();
    let mut walk = Walk { history: History::default(), hooks: run.hooks, noise: run.noise };
    run.warm.into_iter().rev().for_each(|(level, estimate)| walk.history.push(level, estimate));
    let mut before: Option<(Tensor, Step, usize)> = None;
    let last = run.grid.len() - 1;
    for (index, (from, to)) in run.grid.steps().enumerate() {
        let mut step = Step { from, to, index, left: last - index, process: &*run.process };
        for hook in &mut walk.hooks {
            hook.span(&x, &mut step, &run.denoiser.net).await?;
        }
        let mut newest = run.denoiser.denoise(&x, &step.from).await?;
        walk.hooks.iter_mut().for_each(|hook| hook.estimate(&mut newest, &step.from, &walk.history));
        walk.history.push(step.from, newest);
        if let Some((start, taken, order)) = before.take() {
            let weights = rule.correct(&span(&taken, &mut walk.history, order + 1));
            x = weights.map_or(x, |weights| walk.step(&start, &weights, &taken, (1, rule.history())));
        }
        walk.history.truncate(rule.history().max(2));
        let order = order(&rule, &step, walk.history.len());
        let weights = rule.predict(&span(&step, &mut walk.history, order));
        let next = walk.step(&x, &weights, &step, (0, rule.history()));
        before = Some((std::mem::replace(&mut x, next), step, order));
    }
    Ok(x)
}

/// What each step of a rule lacks on a given path: `path[k + 1]` less what the step makes of `path[k]`, without noise. The
/// states `[n, C, h, w]` are one more than the estimates, which are those of all but the last.
pub fn lacking<R: Rule>(rule: &R, run: &Run, path: &[Tensor], estimates: Vec<Estimate>) -> Vec<Tensor> {
    let mut history = History::default();
    let last = run.grid.len() - 1;
    let steps = run.grid.steps().zip(estimates).enumerate();
    let lacks = steps.map(|(index, ((from, to), estimate))| {
        let step = Step { from, to, index, left: last - index, process: &*run.process };
        history.push(from, estimate);
        history.truncate(rule.history());
        let order = order(rule, &step, history.len());
        let weights = rule.predict(&span(&step, &mut history, order));
        let sum = sum(&weights, &history);
        let made = sum.iter().map(|(weight, term)| (-weight, term));
        combine(&[(1.0, &path[index + 1]), (-weights.x, &path[index])].into_iter().chain(made).collect::<Vec<_>>())
    });
    lacks.collect()
}

fn order<R: Rule>(rule: &R, step: &Step, known: usize) -> usize {
    let left = match (step.to.sigma == 0.0, rule.lower_order_final()) {
        (true, _) => rule.clean_order(),
        (false, true) => step.left + 1,
        (false, false) => usize::MAX,
    };
    known.min(rule.history()).min(left)
}

fn span<'a>(step: &Step<'a>, history: &'a mut History, order: usize) -> Span<'a> {
    let past: &[Level] = history.levels.make_contiguous();
    let Step { from, to, index, left, process } = *step;
    Span { from, to, past: &past[..order], index, left, process }
}

/// Weights and estimates.
fn sum(weights: &Weights, history: &History) -> Vec<(f64, Tensor)> {
    let known = || history.estimates.iter();
    let x0 = weights.x0.iter().zip(known()).map(|(weight, known)| (*weight, known.x0.shallow_clone()));
    let eps = weights.eps.iter().zip(known()).map(|(weight, known)| (*weight, known.eps.shallow_clone()));
    x0.chain(eps).collect()
}

/// What a run carries from step to step besides its state.
struct Walk {
    history: History,
    hooks: Hooks,
    noise: Noise,
}

impl Walk {
    /// `start` is where the estimate of the step's start is in the history; `highest` the most estimates weighed.
    fn step(&mut self, x: &Tensor, weights: &Weights, step: &Step, (start, highest): (usize, usize)) -> Tensor {
        let z = self.term(weights, step);
        let bends = self.hooks.iter().any(|hook| hook.bends());
        let bent = bends.then(|| weights.clone().in_one_form(&step.from)).flatten().filter(Weights::weighs);
        let (c, mut sum) = match bent {
            Some(weights) => (weights.x, self.bent(&weights, step, (start, highest))),
            None => (weights.x, sum(weights, &self.history)),
        };
        sum.extend(z.map(|z| (1.0, z)));
        let terms: Vec<_> = std::iter::once((c, x)).chain(sum.iter().map(|(weight, term)| (*weight, term))).collect();
        combine(&terms)
    }

    /// What the step adds to its mean: what was given, or noise.
    fn term(&self, weights: &Weights, step: &Step) -> Option<Tensor> {
        let index = u32::try_from(step.index).expect("at most a few thousand steps");
        self.noise.given(index).or_else(|| (weights.z != 0.0).then(|| self.fresh(weights, index)))
    }

    fn fresh(&self, weights: &Weights, index: u32) -> Tensor {
        let z = self.noise.step(index);
        let range = self.history.estimates.front().and_then(|newest| newest.range.as_ref());
        match weights.z_most.zip(range) {
            None => z * weights.z,
            Some((most, range)) => z * (range * (most / weights.z).ln() + weights.z.ln()).exp(),
        }
    }

    /// `C` and the slope, as the hooks leave it.
    fn bent(&mut self, weights: &Weights, step: &Step, (start, highest): (usize, usize)) -> Vec<(f64, Tensor)> {
        let own = [&weights.x0, &weights.eps];
        let whole: f64 = own.iter().flat_map(|weights| weights.iter()).sum();
        let order = own.iter().flat_map(|weights| weights.iter()).filter(|weight| **weight != 0.0).count();
        let sum = sum(weights, &self.history);
        let shares: Vec<_> = sum.iter().map(|(weight, term)| (weight / whole, term)).collect();
        let Step { index, left, .. } = *step;
        let d = combine(&shares);
        let mut slope = Slope {
            d,
            of_noise: weights.x0.is_empty(),
            start,
            order: order - start.min(order - 1),
            highest,
            index,
            left,
        };
        self.hooks.iter_mut().for_each(|hook| hook.slope(&mut slope, &self.history));
        vec![(whole, slope.d)]
    }
}
