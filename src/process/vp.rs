use serde::{Deserialize, Serialize};

use super::{Level, Process};

/// How the variance of a step grows over a variance-preserving training process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Betas {
    /// `beta` linear in the step (Ho et al. 2020).
    Linear {
        /// First and last `beta`.
        ends: (f64, f64),
        /// Training steps.
        steps: usize,
    },
    /// `sqrt(beta)` linear in the step (Rombach et al. 2022).
    ScaledLinear {
        /// First and last `beta`.
        ends: (f64, f64),
        /// Training steps.
        steps: usize,
    },
    /// `alpha_bar = cos^2((t + 0.008) / 1.008 * pi / 2)`, `beta` at most 0.999 (Nichol and Dhariwal 2021, eq. 17).
    Cosine {
        /// Training steps.
        steps: usize,
    },
    /// Given one by one.
    Trained(Vec<f64>),
}

impl Betas {
    fn values(&self) -> Vec<f64> {
        match self {
            Self::Linear { ends, steps } => linspace(ends.0, ends.1, *steps),
            Self::ScaledLinear { ends, steps } => {
                linspace(ends.0.sqrt(), ends.1.sqrt(), *steps).into_iter().map(|root| root * root).collect()
            }
            Self::Cosine { steps } => (0..*steps).map(|i| cosine_beta(i as f64, *steps as f64)).collect(),
            Self::Trained(betas) => betas.clone(),
        }
    }
}

fn cosine_beta(i: f64, n: f64) -> f64 {
    let bar = |t: f64| ((t / n + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    (1.0 - bar(i + 1.0) / bar(i)).min(0.999)
}

pub(super) fn linspace(from: f64, to: f64, n: usize) -> Vec<f64> {
    let last = n.saturating_sub(1).max(1) as f64;
    (0..n).map(|i| from + (to - from) * i as f64 / last).collect()
}

/// The variance-preserving process: `alpha^2 + sigma^2 = 1`, times 0..N-1 as in training.
///
/// Between two training times `lambda` is linear in `t` (towards minus infinity: a logarithm), so a level and its time
/// determine each other.
#[derive(Clone, Debug)]
pub struct Vp {
    /// Falling; the last one may be minus infinity (zero-terminal signal-to-noise ratio).
    lambdas: Vec<f64>,
}

impl Vp {
    /// The process of a table of betas.
    pub fn new(betas: &Betas) -> Self {
        Self::of_alpha_bars(&cumulative(&betas.values()))
    }

    /// The same with `sqrt(alpha_bar)` shifted and scaled so that the last one is 0 (Lin et al. 2024, algorithm 1).
    pub fn zero_terminal(betas: &Betas) -> Self {
        let roots: Vec<f64> = cumulative(&betas.values()).into_iter().map(f64::sqrt).collect();
        let (first, last) = (roots[0], roots[roots.len() - 1]);
        let bars: Vec<f64> = roots.iter().map(|root| ((root - last) * first / (first - last)).powi(2)).collect();
        Self::of_alpha_bars(&bars)
    }

    fn of_alpha_bars(bars: &[f64]) -> Self {
        Self { lambdas: bars.iter().map(|bar| 0.5 * (bar.ln() - (-bar).ln_1p())).collect() }
    }

    fn last(&self) -> usize {
        self.lambdas.len() - 1
    }

    /// `lambda` between two training times; towards an infinite one it falls as a logarithm, and so reaches it.
    fn between(&self, low: usize, share: f64) -> f64 {
        let (from, to) = (self.lambdas[low], self.lambdas[low + 1]);
        if to.is_finite() { from * (1.0 - share) + to * share } else { from + (-share).ln_1p() }
    }
}

fn cumulative(betas: &[f64]) -> Vec<f64> {
    let mut bar = 1.0;
    betas
        .iter()
        .map(|beta| {
            bar *= 1.0 - beta;
            bar
        })
        .collect()
}

/// `alpha = sqrt(sigmoid(2 lambda))`, `sigma = sqrt(sigmoid(-2 lambda))`.
pub(super) fn level(t: f64, lambda: f64) -> Level {
    let share = |x: f64| (1.0 + (-2.0 * x).exp()).recip().sqrt();
    Level { t, alpha: share(lambda), sigma: share(-lambda) }
}

impl Process for Vp {
    fn name(&self) -> &'static str {
        "variance_preserving"
    }

    fn at(&self, t: f64) -> Level {
        let t = t.clamp(0.0, self.last() as f64);
        let low = t.floor() as usize;
        let share = t - low as f64;
        // No blend at a training time: an infinite neighbour must not touch it.
        let lambda = if share == 0.0 { self.lambdas[low] } else { self.between(low, share) };
        level(t, lambda)
    }

    fn at_lambda(&self, lambda: f64) -> Level {
        let above = self.lambdas.partition_point(|known| *known >= lambda);
        if above == 0 {
            return level(0.0, lambda);
        }
        if above > self.last() {
            return level(self.last() as f64, lambda);
        }
        let (high, low) = (self.lambdas[above - 1], self.lambdas[above]);
        let share = if low.is_finite() { (high - lambda) / (high - low) } else { -(lambda - high).exp_m1() };
        level((above - 1) as f64 + share, lambda)
    }

    fn range(&self) -> (f64, f64) {
        (0.0, self.last() as f64)
    }

    fn train_steps(&self) -> usize {
        self.lambdas.len()
    }
}
