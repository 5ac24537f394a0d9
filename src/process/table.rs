use super::Level;

/// A process known at training times 0..N-1 alone: in between both shares are linear in the time, as they are between
/// the clean picture and time 0, so that a level and its `sigma / alpha` determine each other.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// `(alpha, sigma)`, the first falling and the second rising; before them the clean picture.
    shares: Vec<(f64, f64)>,
}

const CLEAN: (f64, f64) = (1.0, 0.0);

impl Table {
    /// From the shares at the training times, of which there are at least two.
    pub fn new(shares: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { shares: std::iter::once(CLEAN).chain(shares).collect() }
    }

    /// The last training time.
    pub fn last(&self) -> f64 {
        (self.shares.len() - 2) as f64
    }

    /// The level at a time, which is first brought into `0..=last`.
    pub fn at(&self, t: f64) -> Level {
        let t = t.clamp(0.0, self.last());
        let low = t.floor() as usize;
        self.blend(low + 1, t - low as f64)
    }

    /// The level with that `lambda`; beyond the noisiest time its noise stays and its signal falls.
    pub fn at_lambda(&self, lambda: f64) -> Level {
        let ratio = lambda.exp();
        if ratio.is_infinite() {
            return self.blend(0, 0.0);
        }
        // `alpha - ratio sigma` falls with the time and is 0 at the level sought.
        let gap = |(alpha, sigma): (f64, f64)| alpha - ratio * sigma;
        let above = self.shares.partition_point(|known| gap(*known) > 0.0);
        let Some(next) = self.shares.get(above) else {
            let sigma = self.shares[above - 1].1;
            return Level { t: self.last(), alpha: ratio * sigma, sigma };
        };
        let before = gap(self.shares[above - 1]);
        self.blend(above - 1, before / (before - gap(*next)))
    }

    /// Between the entry `low` and the one after it.
    fn blend(&self, low: usize, share: f64) -> Level {
        let (from, to) = (self.shares[low], self.shares.get(low + 1).copied().unwrap_or(CLEAN));
        let between = |from: f64, to: f64| if share == 0.0 { from } else { from * (1.0 - share) + to * share };
        let t = (low as f64 - 1.0 + share).max(0.0);
        Level { t, alpha: between(from.0, to.0), sigma: between(from.1, to.1) }
    }
}
