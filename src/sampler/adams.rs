//! Adams-Bashforth on `dy / d rho = eps`, `y = x / alpha`, `rho = sigma / alpha`: the noise as the polynomial through its
//! estimates in some coordinate, integrated over the step (Zhang and Chen 2023, arXiv 2204.13902, eq. 14 and 15), or with
//! the constant weights of equal steps.

use super::{
    Span, Weights,
    ddim::ancestral,
    polynomial::{basis, integrals},
};

/// Panels of the quadrature in lambda, each with the five points of Gauss and Legendre.
const PANELS: u32 = 24;
const POINTS: [(f64, f64); 5] = [
    (0.0, 0.568_888_888_888_888_9),
    (0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
    (-0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
    (0.906_179_845_938_664, 0.236_926_885_056_189_1),
    (-0.906_179_845_938_664, 0.236_926_885_056_189_1),
];

/// Through the newest estimates of the span that had a signal, polynomial in `rho`: also into `sigma = 0`.
pub fn in_ratio(span: &Span) -> Weights {
    let (from, to) = (span.from.ratio(), span.to.ratio());
    if !from.is_finite() || from == to {
        return ancestral(span, 0.0);
    }
    let ratios = span.past.iter().map(crate::process::Level::ratio).take_while(|ratio| ratio.is_finite());
    let places: Vec<f64> = ratios.map(|ratio| (ratio - from) / (to - from)).collect();
    step(span, integrals(0.0, &places))
}

/// Through all estimates of the span, polynomial in the network's time, by quadrature.
pub fn in_time(span: &Span) -> Weights {
    if !span.is_inside() {
        return ancestral(span, 0.0);
    }
    let time = |lambda: f64| span.process.at_lambda(lambda).t;
    let (start, end) = (time(span.from.lambda()), time(span.to.lambda()));
    let places: Vec<f64> = span.past.iter().map(|level| (time(level.lambda()) - start) / (end - start)).collect();
    let polynomials: Vec<_> = (0..places.len()).map(|j| basis(&places, j)).collect();
    let mut sums = vec![0.0; places.len()];
    for (lambda, width) in quadrature(span.from.lambda(), span.h()) {
        let place = (time(lambda) - start) / (end - start);
        for (sum, polynomial) in sums.iter_mut().zip(&polynomials) {
            let value = polynomial.iter().rev().fold(0.0, |value, coefficient| value * place + coefficient);
            // d rho = -rho d lambda
            *sum -= width * (-lambda).exp() * value;
        }
    }
    let whole = span.to.ratio() - span.from.ratio();
    step(span, sums.into_iter().map(|sum| sum / whole).collect())
}

/// With the same weights whatever the levels, newest first; they sum to 1.
pub fn constant(span: &Span, shares: &[f64]) -> Weights {
    if span.from.alpha > 0.0 { step(span, shares.to_vec()) } else { ancestral(span, 0.0) }
}

/// Weights of Adams and Bashforth for equal steps, newest first, over estimates that were filtered by
/// `v = (1 - beta) v + beta eps`: for `beta` 1 the plain ones (Wizadwongsa et al. 2023, arXiv 2307.11118, table 6).
pub fn bashforth(estimates: usize, beta: f64) -> Vec<f64> {
    let b = beta;
    let weights = match estimates {
        0 | 1 => vec![b],
        2 => vec![(2.0 + b) / 2.0, -(2.0 - b) / 2.0],
        3 => vec![(18.0 + 5.0 * b) / 12.0, -(24.0 - 8.0 * b) / 12.0, (6.0 - b) / 12.0],
        4 => vec![(46.0 + 9.0 * b) / 24.0, -(78.0 - 19.0 * b) / 24.0, (42.0 - 5.0 * b) / 24.0, -(10.0 - b) / 24.0],
        _ => vec![
            (1650.0 + 251.0 * b) / 720.0,
            -(3420.0 - 646.0 * b) / 720.0,
            (2880.0 - 264.0 * b) / 720.0,
            -(1380.0 - 106.0 * b) / 720.0,
            (270.0 - 19.0 * b) / 720.0,
        ],
    };
    weights.into_iter().map(|weight| weight / b).collect()
}

/// `x' = (alpha' / alpha) x + alpha' (rho' - rho) sum share_j eps_j`.
fn step(span: &Span, shares: Vec<f64>) -> Weights {
    let length = span.to.alpha * (span.to.ratio() - span.from.ratio());
    Weights::noise(span.to.alpha / span.from.alpha, shares.into_iter().map(|share| share * length).collect())
}

/// Places and weights over `from..from + h`.
fn quadrature(from: f64, h: f64) -> impl Iterator<Item = (f64, f64)> {
    let half = h / f64::from(2 * PANELS);
    (0..PANELS).flat_map(move |panel| {
        let middle = from + half * f64::from(2 * panel + 1);
        POINTS.into_iter().map(move |(place, weight)| (middle + half * place, half * weight))
    })
}
