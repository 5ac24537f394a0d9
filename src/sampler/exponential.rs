//! Exponential integrators: the linear part of a step exactly, the network's part by the polynomial through its estimates.
//!
//! In `lambda = ln(alpha / sigma)` a step of size h from level s to level t is
//! `x_t = (sigma_t / sigma_s) x_s + alpha_t int_0^h e^-(h - u) X0(u) du` in clean pictures, and
//! `x_t = (alpha_t / alpha_s) x_s - sigma_t int_0^h e^(h - u) Eps(u) du` in noises (Lu et al. 2022, arXiv 2211.01095, eq. 8,
//! and arXiv 2206.00927, eq. 3.4). DPM-Solver, DPM-Solver++, DEIS and UniPC differ in which estimates the polynomial goes
//! through.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Span, Weights, ddim::ancestral};

/// Terms of the series of [`moment`], which serves up to `|a| = 1`.
const TERMS: u32 = 20;

/// What is extrapolated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Clean pictures, which are bounded, so that strong guidance stays stable.
    Data,
    /// Noises.
    Noise,
}

/// The weights of a step through the newest estimates of the span whose levels have finite and different lambdas, exact for
/// polynomials in lambda of a degree below their number. From `alpha = 0` and into `sigma = 0` the step is DDIM's, which takes
/// the state from the newest estimate alone; elsewhere the state itself counts, so that its correction is not lost.
pub fn through(form: Form, span: &Span) -> Weights {
    let (from, to) = (span.from, span.to);
    let h = to.lambda() - from.lambda();
    let apart = span.past.windows(2).take_while(|pair| (pair[0].lambda() - pair[1].lambda()).abs() > 0.0);
    let nodes = &span.past[..=apart.take_while(|pair| pair[1].lambda().is_finite()).count()];
    if !h.is_finite() || h <= 0.0 {
        return ancestral(span, 0.0);
    }
    let places: Vec<f64> = nodes.iter().map(|level| (level.lambda() - from.lambda()) / h).collect();
    let of = |a: f64, factor: f64| integrals(a, &places).into_iter().map(|weight| factor * h * weight).collect();
    match form {
        Form::Data => Weights { x: to.sigma / from.sigma, x0: of(h, to.alpha), ..Weights::default() },
        Form::Noise => Weights { x: to.alpha / from.alpha, eps: of(-h, -to.sigma), ..Weights::default() },
    }
}

/// `int_0^1 e^(-a (1 - v)) L_j(v) dv` for each Lagrange polynomial over the places.
fn integrals(a: f64, places: &[f64]) -> Vec<f64> {
    let integral = |j| basis(places, j).iter().enumerate().map(|(k, c)| c * moment(a, k)).sum();
    (0..places.len()).map(integral).collect()
}

/// Coefficients, from the constant up, of the polynomial that is 1 at place j and 0 at the others.
fn basis(places: &[f64], j: usize) -> Vec<f64> {
    let mut polynomial = vec![1.0];
    for (_, place) in places.iter().enumerate().filter(|(other, _)| *other != j) {
        let scale = 1.0 / (places[j] - place);
        let mut next = vec![0.0; polynomial.len() + 1];
        for (k, coefficient) in polynomial.iter().enumerate() {
            next[k + 1] += coefficient * scale;
            next[k] -= coefficient * scale * place;
        }
        polynomial = next;
    }
    polynomial
}

/// `I_k = int_0^1 e^(-a (1 - v)) v^k dv`: by `I_k = (1 - k I_(k-1)) / a` from `I_0 = (1 - e^-a) / a`, and where that loses
/// digits by its series `sum_j (-a)^j k! / (j + k + 1)!`.
fn moment(a: f64, k: usize) -> f64 {
    if a.abs() > 1.0 {
        return (1..=k).fold(-(-a).exp_m1() / a, |before, k| (1.0 - k as f64 * before) / a);
    }
    let mut term = 1.0 / (k as f64 + 1.0);
    let mut sum = term;
    for j in 1..TERMS {
        term *= -a / (f64::from(j) + k as f64 + 1.0);
        sum += term;
    }
    sum
}
