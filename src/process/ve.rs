use super::{Level, Process};

/// The variance-exploding process of Karras et al. (2022): `x = x0 + sigma eps`, told as `t = ln(sigma) / 4` (table 1).
#[derive(Clone, Debug)]
pub struct Ve {
    /// Least and greatest `sigma` of training.
    pub sigmas: (f64, f64),
}

impl Default for Ve {
    fn default() -> Self {
        Self { sigmas: (0.002, 80.0) }
    }
}

impl Process for Ve {
    fn name(&self) -> &'static str {
        "variance_exploding"
    }

    fn at(&self, t: f64) -> Level {
        let (low, high) = self.range();
        let t = t.clamp(low, high);
        Level { t, alpha: 1.0, sigma: (4.0 * t).exp() }
    }

    fn at_lambda(&self, lambda: f64) -> Level {
        Level { t: -lambda / 4.0, alpha: 1.0, sigma: (-lambda).exp() }
    }

    fn range(&self) -> (f64, f64) {
        (self.sigmas.0.ln() / 4.0, self.sigmas.1.ln() / 4.0)
    }

    fn integer_times(&self) -> bool {
        false
    }
}
