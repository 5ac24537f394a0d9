use super::Level;

/// The levels of a run, noisy to clean: one more than it has steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid(Vec<Level>);

impl Grid {
    /// A grid of at least two levels, noise never rising.
    ///
    /// # Panics
    /// Fewer than two levels.
    pub fn new(levels: Vec<Level>) -> Self {
        assert!(levels.len() >= 2, "a grid has at least one step");
        Self(levels)
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.0.len() - 1
    }

    /// Never: a grid has at least one step.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// All levels.
    pub fn levels(&self) -> &[Level] {
        &self.0
    }

    /// Where the run starts.
    pub fn first(&self) -> Level {
        self.0[0]
    }

    /// Where the run ends.
    pub fn last(&self) -> Level {
        self.0[self.len()]
    }

    /// Pairs (from, to), in order.
    pub fn steps(&self) -> impl Iterator<Item = (Level, Level)> {
        self.0.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// What is left of it after so many steps, if anything is.
    pub fn after(&self, steps: usize) -> Option<Self> {
        (steps < self.len()).then(|| Self(self.0[steps..].to_vec()))
    }

    /// The levels from one index to another, at least one step.
    ///
    /// # Panics
    /// Indices out of order or beyond the last level.
    pub fn between(&self, first: usize, last: usize) -> Self {
        Self::new(self.0[first..=last].to_vec())
    }

    /// The share of the steps that lie behind a level, 0 at the noisiest; a level between two of the grid counts as the
    /// noisier one, so that the inner evaluations of a step belong to it.
    pub fn share(&self, level: &Level) -> f64 {
        let behind = self.0[1..self.len()].iter().take_while(|known| known.ratio() >= level.ratio()).count();
        behind as f64 / self.len() as f64
    }
}

/// A share of so many steps, rounded down; what rounding takes from a product such as 100 x 0.29 is given back.
pub fn share_of(steps: usize, share: f64) -> usize {
    (steps as f64 * share + 1e-9).floor() as usize
}
