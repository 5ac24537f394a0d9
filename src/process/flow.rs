use super::{Level, Process};

/// The straight path of flow matching: `x = (1 - s) x0 + s eps`, told as `t = 1000 s` (Lipman et al. 2023, eq. 22).
#[derive(Clone, Debug)]
pub struct Flow {
    /// Least `s` of training.
    pub least: f64,
}

impl Default for Flow {
    fn default() -> Self {
        Self { least: 1e-3 }
    }
}

impl Process for Flow {
    fn name(&self) -> &'static str {
        "flow"
    }

    fn at(&self, t: f64) -> Level {
        let (low, high) = self.range();
        let t = t.clamp(low, high);
        Level { t, alpha: 1.0 - t / 1000.0, sigma: t / 1000.0 }
    }

    fn at_lambda(&self, lambda: f64) -> Level {
        let (alpha, sigma) = ((1.0 + (-lambda).exp()).recip(), (1.0 + lambda.exp()).recip());
        Level { t: 1000.0 * sigma, alpha, sigma }
    }

    fn range(&self) -> (f64, f64) {
        (1000.0 * self.least, 1000.0)
    }

    fn integer_times(&self) -> bool {
        false
    }
}
