//! Exponential integrators: the linear part of a step exactly, the network's part by the polynomial through its estimates.
//!
//! In `lambda = ln(alpha / sigma)` a step of size h from level s to level t, with the share eta of the fresh noise, is
//! `x_t = (sigma_t / sigma_s) e^(-eta h) x_s + alpha_t int_0^h (1 + eta) e^(-(1 + eta)(h - u)) X0(u) du + c z` in clean
//! pictures with `c = sigma_t sqrt(1 - e^(-2 eta h))`, and
//! `x_t = (alpha_t / alpha_s) x_s - sigma_t int_0^h (1 + eta) e^(h - u) Eps(u) du + c z` in noises with
//! `c = sigma_t sqrt(eta (e^2h - 1))` (Lu et al. 2022, arXiv 2206.00927, eq. 3.4, and arXiv 2211.01095, eq. 8 and 18).
//! DPM-Solver, DPM-Solver++, DEIS and UniPC differ in which estimates the polynomial goes through, and in one weight.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Span, Weights, ddim::ancestral, polynomial::integrals};
use crate::process::Level;

/// What is extrapolated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Clean pictures, which are bounded, so that strong guidance stays stable.
    Data,
    /// Noises.
    Noise,
}

impl Form {
    /// The share of the reverse diffusion on whose Brownian path the fresh noise of steps with the share eta lies: see
    /// [`Rule::path`](super::Rule::path). In noises it does not depend on eta, as all of the old noise is kept.
    pub fn share(self, eta: f64) -> f64 {
        match self {
            Self::Noise if eta > 0.0 => -1.0,
            _ => eta,
        }
    }
}

/// The weight of the one difference in a step through two estimates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// Exact for estimates that are linear in lambda.
    Taylor,
    /// Half the weight of a constant estimate: the midpoint of DPM-Solver, `bh2` of UniPC.
    Midpoint,
    /// Half the step: `bh1` of UniPC.
    Step,
}

/// The weights of a deterministic step through the newest estimates of the span whose levels have finite and different
/// lambdas, exact for polynomials in lambda of a degree below their number.
///
/// From `alpha = 0` and into `sigma = 0` the step is DDIM's, which takes the state from the newest estimate alone;
/// elsewhere the state itself counts, so that its correction is not lost.
pub fn through(form: Form, span: &Span) -> Weights {
    stochastic(form, 0.0, span)
}

/// The same with the share `eta` of fresh noise: 0 the ordinary differential equation, 1 the reverse diffusion.
pub fn stochastic(form: Form, eta: f64, span: &Span) -> Weights {
    if !span.is_inside() {
        return ancestral(span, eta);
    }
    let h = span.h();
    let nodes = distinct(span.past);
    let places: Vec<f64> = nodes.iter().map(|level| (level.lambda() - span.from.lambda()) / h).collect();
    let of = |a: f64, factor: f64| integrals(a, &places).into_iter().map(|weight| factor * h * weight).collect();
    weights(
        form,
        eta,
        span,
        match form {
            Form::Data => of((1.0 + eta) * h, (1.0 + eta) * span.to.alpha),
            Form::Noise => of(-h, -(1.0 + eta) * span.to.sigma),
        },
    )
}

/// A step through the two newest estimates in which the weight of their difference is as published.
pub fn through_two(form: Form, difference: Difference, eta: f64, span: &Span) -> Weights {
    let exact = stochastic(form, eta, &span.seeing(&span.past[..span.past.len().min(2)]));
    let own = |weights: &Weights| match form {
        Form::Data => weights.x0.clone(),
        Form::Noise => weights.eps.clone(),
    };
    let two = own(&exact);
    if difference == Difference::Taylor || two.len() < 2 || !span.is_inside() {
        return exact;
    }
    let whole: f64 = two.iter().sum();
    let signed_h = match form {
        Form::Data => span.to.alpha * (1.0 + eta) * span.h(),
        Form::Noise => -span.to.sigma * (1.0 + eta) * span.h(),
    };
    let half = 0.5 * if difference == Difference::Midpoint { whole } else { signed_h };
    let places = [0, 1].map(|at: usize| (span.past[at].lambda() - span.from.lambda()) / span.h());
    // The estimate at the start has the whole weight, and the difference half of one, divided by its length.
    let (start, other) = if places[0] == 0.0 { (0, 1) } else { (1, 0) };
    let mut weighed = vec![0.0; 2];
    weighed[start] = whole - half / places[other];
    weighed[other] = half / places[other];
    weights(form, eta, span, weighed)
}

fn weights(form: Form, eta: f64, span: &Span, estimates: Vec<f64>) -> Weights {
    let (from, to, h) = (span.from, span.to, span.h());
    match form {
        Form::Data => {
            let z = to.sigma * (-(-2.0 * eta * h).exp_m1()).sqrt();
            Weights { z, ..Weights::data(to.sigma / from.sigma * (-eta * h).exp(), estimates) }
        }
        Form::Noise => {
            let z = to.sigma * (eta * (2.0 * h).exp_m1()).sqrt();
            Weights { z, ..Weights::noise(to.alpha / from.alpha, estimates) }
        }
    }
}

/// The newest levels as far as they lie apart, finitely.
fn distinct(past: &[Level]) -> &[Level] {
    let apart = |pair: &&[Level]| {
        let gap = pair[0].lambda() - pair[1].lambda();
        gap.abs() > 0.0 && gap.is_finite()
    };
    &past[..past.len().min(1 + past.windows(2).take_while(apart).count())]
}
