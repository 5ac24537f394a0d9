use tch::Tensor;

use crate::sampler::combine;

/// Decay of the first and of the second moment, and what keeps the division finite.
const DECAY: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

/// Adam (Kingma and Ba 2015, algorithm 1).
#[derive(Debug)]
pub struct Adam {
    moments: [Tensor; 2],
    steps: i32,
}

impl Adam {
    /// For values of that shape.
    pub fn new(values: &Tensor) -> Self {
        Self { moments: [values.zeros_like(), values.zeros_like()], steps: 0 }
    }

    /// The values after a step down a gradient.
    pub fn step(&mut self, values: &Tensor, gradient: &Tensor, rate: f64) -> Tensor {
        self.steps += 1;
        let [first, second] = &self.moments;
        let moved = |moment: &Tensor, decay: f64, new: &Tensor| combine(&[(decay, moment), (1.0 - decay, new)]);
        self.moments = [moved(first, DECAY[0], gradient), moved(second, DECAY[1], &gradient.square())];
        let [mean, square] = [0, 1].map(|k| &self.moments[k] / (1.0 - DECAY[k].powi(self.steps)));
        combine(&[(1.0, values), (-rate, &(mean / (square.sqrt() + EPSILON)))])
    }
}
