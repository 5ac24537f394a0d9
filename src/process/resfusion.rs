use super::{Change, Level, Process, table::Table, vp};

/// Where the residual has taken the picture's place: `sqrt(alpha_bar)`.
const HALF: f64 = 0.5;
/// How far below [`HALF`] the table may end; beyond, its last entry is moved there.
const TOLERANCE: f64 = 0.01;

/// The process of Resfusion (Shi et al. 2024, arXiv 2311.14900, eq. 6): `x = sqrt(bar) x0 + (1 - sqrt(bar)) r +
/// sqrt(1 - bar) eps` with the residual `r = mu - x0` to the degraded picture mu and `bar` of DDPM.
///
/// As r depends on x0, `x - sqrt(bar) mu = (2 sqrt(bar) - 1) (x0 - mu) + sqrt(1 - bar) eps`: in `y = x - sqrt(bar) mu`
/// it is a process with `alpha = 2 sqrt(bar) - 1` that ends without signal where `sqrt(bar)` is a half, the published
/// start. Networks are told 0..N-1.
#[derive(Clone, Debug)]
pub struct Resfusion {
    table: Table,
    /// `sqrt(bar / bar before)` at each time.
    kept: Vec<f64>,
}

impl Resfusion {
    /// `beta` linear from 0.1 / T to 20 / T over `steps` (T, at least 12) times, cut where `sqrt(alpha_bar)` is nearest
    /// to a half ("LinearPro"): an entry that would fall more than 0.01 below is moved to a half.
    pub fn new(steps: usize) -> Self {
        let n = steps as f64;
        let mut roots = vec![1.0];
        for beta in vp::linspace(0.1 / n, 20.0 / n, steps) {
            let before = roots[roots.len() - 1];
            roots.push(before * (1.0 - beta).max(0.0).sqrt());
            if roots[roots.len() - 1] <= HALF {
                break;
            }
        }
        Self::of_roots(&cut(roots))
    }

    /// From `sqrt(alpha_bar)` before the first time (1) and at each.
    fn of_roots(roots: &[f64]) -> Self {
        let shares = roots[1..].iter().map(|root| ((2.0 * root - 1.0).max(0.0), (1.0 - root * root).sqrt()));
        Self { table: Table::new(shares), kept: roots.windows(2).map(|pair| pair[1] / pair[0]).collect() }
    }

    fn kept(&self, t: f64) -> f64 {
        let t = t.clamp(0.0, self.table.last());
        let low = t.floor() as usize;
        let next = self.kept.get(low + 1).copied().unwrap_or(self.kept[low]);
        self.kept[low] + (next - self.kept[low]) * (t - low as f64)
    }
}

/// Roots that end at or near a half, from roots of which only the last is at most a half.
fn cut(mut roots: Vec<f64>) -> Vec<f64> {
    let end = roots.len() - 1;
    if roots[end] < HALF - TOLERANCE {
        roots[end] = HALF;
    } else if roots[end - 1] - HALF < HALF - roots[end] {
        roots.truncate(end);
    }
    roots
}

/// `sqrt(alpha_bar)` of a level.
fn root(level: &Level) -> f64 {
    (1.0 - level.sigma * level.sigma).sqrt()
}

impl Process for Resfusion {
    fn name(&self) -> &'static str {
        "resfusion"
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
        self.kept.len()
    }

    /// `sqrt(bar / bar before)`, as in DDPM: the residual, which both levels have, is no part of the chain.
    fn kept(&self, noisier: &Level, level: &Level) -> f64 {
        root(noisier) / root(level)
    }

    /// `kappa = (1 - sqrt(a)) sqrt(1 - bar) / (1 - a)`, eq. 9.
    fn change(&self, level: &Level) -> Change {
        let mean = root(level);
        let kappa = level.sigma / (1.0 + self.kept(level.t));
        // Where the table ends below a half the level holds no signal, though the network was trained with a little of
        // it, turned round: the residual noise is read as trained.
        let turned = if level.sigma > 0.0 { (2.0 * mean - 1.0).min(0.0) / level.sigma } else { 0.0 };
        Change { mean, scale: 1.0, kappa: kappa + turned }
    }
}
