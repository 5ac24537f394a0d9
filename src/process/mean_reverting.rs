use serde::{Deserialize, Serialize};

use super::{Change, Level, Process, vp};

/// How fast a mean-reverting process pulls towards its mean over its training times (code of Luo et al. 2023).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theta {
    /// `1 - cos^2(((u + 0.008) / 1.008) pi / 2)`, scaled to start near 0, with `u = (k + 1) / (T + 2)`.
    Cosine,
    /// Linear in the time.
    Linear,
    /// The same at every time.
    Constant,
}

impl Theta {
    /// `theta_k` for k in `0..=T`, up to a common factor.
    fn values(self, steps: usize) -> Vec<f64> {
        let (n, last) = ((steps + 1) as f64, steps as f64);
        let cosine = |u: f64| ((u + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
        let value = |k: f64| match self {
            Self::Cosine => 1.0 - cosine((k + 1.0) / (last + 2.0)) / cosine(0.0),
            Self::Linear => (0.1 + (20.0 - 0.1) * k / last) / n,
            Self::Constant => 1.0,
        };
        (0..=steps).map(|k| value(k as f64)).collect()
    }
}

/// The mean-reverting process of IR-SDE (Luo et al. 2023, arXiv 2301.11699, eq. 3 and 6):
/// `x = mu + a (x0 - mu) + s sqrt(1 - a^2) eps` with `a = e^-Theta` falls from the picture to the degraded picture mu
/// under noise of the standard deviation s. In `y = (x - mu) / s` it is variance preserving with `alpha = a`.
///
/// Networks are told the integers 1..T; between them `Theta` is linear.
#[derive(Clone, Debug)]
pub struct MeanReverting {
    /// `Theta_k` for k in `0..=T`, rising.
    thetas: Vec<f64>,
    scale: f64,
}

impl MeanReverting {
    /// `steps` (T, at least 2) training times after which `eps` (in 0..1) of the signal is left, under noise of the
    /// standard deviation `scale` (s, above 0, in the unit of the pictures).
    pub fn new(theta: Theta, steps: usize, eps: f64, scale: f64) -> Self {
        let values = theta.values(steps);
        let dt = -eps.ln() / values.iter().sum::<f64>();
        let thetas = values.iter().scan(0.0, |sum, theta| {
            *sum += theta * dt;
            Some(*sum)
        });
        Self { thetas: thetas.collect(), scale }
    }

    /// `Theta_k`, the integral of theta up to each time k in `0..=T`. Networks never see k = 0.
    pub fn thetas(&self) -> &[f64] {
        &self.thetas
    }
}

impl Process for MeanReverting {
    fn name(&self) -> &'static str {
        "mean_reverting"
    }

    fn at(&self, t: f64) -> Level {
        let (low, high) = self.range();
        let t = t.clamp(low, high);
        let below = (t.floor() as usize).min(self.thetas.len() - 2);
        let share = t - below as f64;
        let theta = self.thetas[below] * (1.0 - share) + self.thetas[below + 1] * share;
        Level { t, alpha: (-theta).exp(), sigma: (-(-2.0 * theta).exp_m1()).sqrt() }
    }

    fn at_lambda(&self, lambda: f64) -> Level {
        let level = vp::level(0.0, lambda);
        let theta = 0.5 * (-2.0 * lambda).exp().ln_1p();
        let (low, high) = self.range();
        let above = self.thetas.partition_point(|known| *known < theta).clamp(1, self.thetas.len() - 1);
        let (from, to) = (self.thetas[above - 1], self.thetas[above]);
        let t = (above - 1) as f64 + (theta - from) / (to - from);
        Level { t: t.clamp(low, high), ..level }
    }

    fn range(&self) -> (f64, f64) {
        (1.0, (self.thetas.len() - 1) as f64)
    }

    fn train_steps(&self) -> usize {
        self.thetas.len() - 1
    }

    fn change(&self, _level: &Level) -> Change {
        Change { mean: 1.0, scale: self.scale, kappa: 0.0 }
    }
}
