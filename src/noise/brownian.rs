//! One Brownian path per seed, of which a run reads the increments over its steps: more steps refine the same path.
//!
//! The path B has a clock of its own, `tau = e^(2 share lambda)`, in which the noise that a reverse diffusion of that share
//! gathers between two levels is an increment of B exactly. It is a virtual tree: the end of the root's interval is drawn
//! first, then midpoints in lambda as bridges between the ends, each from a counter of its own (Li et al. 2020,
//! arXiv 2001.01328, section 4), so any place can be asked for in any order.

use super::{Purpose, stream};

/// The lambdas that the tree spans; what lies outside counts as its end.
const ENDS: (f64, f64) = (-16.0, 16.0);
/// Halvings: the finest interval is 8e-6 wide.
const DEPTH: u32 = 22;

/// The increments that a run reads.
#[derive(Clone, Debug)]
pub struct Path {
    /// Share of the fresh noise; not 0, and below where the clock runs back.
    share: f64,
    /// From and to, in lambda.
    intervals: Vec<(f64, f64)>,
    pass: u32,
}

impl Path {
    /// The increments over these intervals, from and to in lambda, of the path for a share of fresh noise, which is not 0.
    pub fn new(share: f64, intervals: Vec<(f64, f64)>) -> Self {
        Self { share, intervals, pass: 0 }
    }

    /// The same where the way is gone for the `pass`-th time, along another path.
    pub fn pass(self, pass: u32) -> Self {
        Self { pass, ..self }
    }

    /// `n` numbers of one picture: the k-th increment over its standard deviation. `None` where the interval is too short,
    /// or not one of the run's.
    pub fn increment(&self, seed: u64, k: u32, n: usize) -> Option<Vec<f32>> {
        let (from, to) = *self.intervals.get(k as usize)?;
        let (from, to) = (place(from), place(to));
        if from == to {
            return None;
        }
        let (begin, end) = (self.at(seed, from, n), self.at(seed, to, n));
        let length = (self.clock(lambda(to)) - self.clock(lambda(from))).abs().sqrt();
        Some(begin.iter().zip(&end).map(|(begin, end)| ((end - begin) / length) as f32).collect())
    }

    fn clock(&self, lambda: f64) -> f64 {
        (2.0 * self.share * lambda).exp()
    }

    /// The path at a place of the finest level.
    fn at(&self, seed: u64, place: u32, n: usize) -> Vec<f64> {
        let draw = |node: u32| stream(seed, [node, Purpose::Path as u32, self.pass], n).into_iter().map(f64::from);
        let spread = (self.clock(ENDS.1) - self.clock(ENDS.0)).abs().sqrt();
        let (mut low, mut high) = (0, 1 << DEPTH);
        let (mut begin, mut end): (Vec<f64>, Vec<f64>) = (vec![0.0; n], draw(0).map(|z| z * spread).collect());
        let mut node = 1;
        while place != low && place != high {
            let middle = low + (high - low) / 2;
            let [a, m, b] = [low, middle, high].map(|at| self.clock(lambda(at)));
            let (share, deviation) = ((m - a) / (b - a), ((m - a) * (b - m) / (b - a)).abs().sqrt());
            let bridge = begin.iter().zip(&end).zip(draw(node));
            let at_middle = bridge.map(|((begin, end), z)| begin + share * (end - begin) + deviation * z).collect();
            if place < middle {
                (high, end, node) = (middle, at_middle, 2 * node);
            } else {
                (low, begin, node) = (middle, at_middle, 2 * node + 1);
            }
        }
        if place == low { begin } else { end }
    }
}

/// The nearest place of the finest level.
fn place(lambda: f64) -> u32 {
    let share = (lambda.clamp(ENDS.0, ENDS.1) - ENDS.0) / (ENDS.1 - ENDS.0);
    (share * f64::from(1 << DEPTH)).round() as u32
}

fn lambda(place: u32) -> f64 {
    ENDS.0 + (ENDS.1 - ENDS.0) * f64::from(place) / f64::from(1 << DEPTH)
}
