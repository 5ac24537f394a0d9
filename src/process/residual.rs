use super::{Change, Level, Process, table::Table};

/// The residual process of RDDM (Liu et al. 2024, arXiv 2308.13712, eq. 6): `x = x0 + A r + B eps` with the residual
/// `r = mu - x0` to the degraded picture mu, so that A rises from 0 to 1 and noise is added at a pace of its own.
///
/// `x - mu = (1 - A) (x0 - mu) + B eps`: in `y = x - mu` it is a process with `alpha = 1 - A` and `sigma = B` that ends
/// without signal. Networks are told 0..N-1.
#[derive(Clone, Debug)]
pub struct Residual {
    table: Table,
}

impl Residual {
    /// The published schedules of `steps` (T, at least 2) times, the residual's falling and the noise's rising:
    /// `A_t = t (2 T - t + 1) / (T (T + 1))` and `B_t^2 = S t (t + 1) / (T (T + 1))` at t in `1..=T`. `variance` (S,
    /// above 0) is that of the noise at the end: 1 for generation, 0.01 for restoration.
    pub fn new(steps: usize, variance: f64) -> Self {
        let end = steps as f64;
        let whole = end * (end + 1.0);
        let shares = (1..=steps).map(|t| t as f64).map(|t| {
            let left = end - t;
            (left * (left + 1.0) / whole, (variance * t * (t + 1.0) / whole).sqrt())
        });
        Self { table: Table::new(shares) }
    }

    /// Any schedules: `(A, B)` at each of two or more times, both rising, A in 0..=1 and B above 0.
    pub fn of(schedules: &[(f64, f64)]) -> Self {
        Self { table: Table::new(schedules.iter().map(|(kept, noise)| (1.0 - kept, *noise))) }
    }
}

impl Process for Residual {
    fn name(&self) -> &'static str {
        "residual"
    }

    fn at(&self, t: f64) -> Level {
        self.table.at(t)
    }

    fn at_lambda(&self, lambda: f64) -> Level {
        self.table.at_lambda(lambda)
    }

    fn range(&self) -> (f64, f64) {
        (0.0, self.table.last())
    }

    fn train_steps(&self) -> usize {
        self.table.last() as usize + 1
    }

    /// All of it (eq. 5): the residual, which both levels have, makes the rest of the way.
    fn kept(&self, _noisier: &Level, _level: &Level) -> f64 {
        1.0
    }

    fn change(&self, _level: &Level) -> Change {
        Change { mean: 1.0, scale: 1.0, kappa: 0.0 }
    }
}
