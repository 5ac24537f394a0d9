//! Runge-Kutta methods as data.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An explicit Runge-Kutta method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tableau {
    /// Euler, order 1.
    Euler,
    /// Midpoint, order 2.
    Midpoint,
    /// Heun, order 2.
    Heun,
    /// Ralston, order 2 with the least error bound (Ralston 1962).
    Ralston2,
    /// Kutta, order 3 (Kutta 1901).
    Kutta,
    /// Heun, order 3 (Heun 1900).
    Heun3,
    /// Ralston, order 3 (Ralston 1962).
    Ralston3,
    /// Van der Houwen and Wray, order 3.
    Wray3,
    /// Strong stability preserving, order 3 (Shu and Osher 1988).
    Ssprk3,
    /// The classical one, order 4 (Kutta 1901).
    Rk4,
    /// The 3/8 rule, order 4 (Kutta 1901).
    Rk38,
}

/// Butcher's form: stage k is at the share `nodes[k]` of the step, from the stages before with the weights `stages[k]`; the
/// step weighs them with `weights`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Butcher {
    /// One for each stage; the first is 0.
    pub nodes: &'static [f64],
    /// Row k has k weights.
    pub stages: &'static [&'static [f64]],
    /// Sum to 1.
    pub weights: &'static [f64],
    /// Order of convergence.
    pub order: u32,
}

/// Every method.
pub const TABLEAUX: [Tableau; 11] = [
    Tableau::Euler,
    Tableau::Midpoint,
    Tableau::Heun,
    Tableau::Ralston2,
    Tableau::Kutta,
    Tableau::Heun3,
    Tableau::Ralston3,
    Tableau::Wray3,
    Tableau::Ssprk3,
    Tableau::Rk4,
    Tableau::Rk38,
];

const fn butcher(
    nodes: &'static [f64],
    stages: &'static [&'static [f64]],
    weights: &'static [f64],
    order: u32,
) -> Butcher {
    Butcher { nodes, stages, weights, order }
}

const EULER: Butcher = butcher(&[0.0], &[&[]], &[1.0], 1);
const MIDPOINT: Butcher = butcher(&[0.0, 0.5], &[&[], &[0.5]], &[0.0, 1.0], 2);
const HEUN: Butcher = butcher(&[0.0, 1.0], &[&[], &[1.0]], &[0.5, 0.5], 2);
const RALSTON2: Butcher = butcher(&[0.0, 2.0 / 3.0], &[&[], &[2.0 / 3.0]], &[0.25, 0.75], 2);
const KUTTA: Butcher = butcher(&[0.0, 0.5, 1.0], &[&[], &[0.5], &[-1.0, 2.0]], &[1.0 / 6.0, 4.0 / 6.0, 1.0 / 6.0], 3);
const HEUN3: Butcher =
    butcher(&[0.0, 1.0 / 3.0, 2.0 / 3.0], &[&[], &[1.0 / 3.0], &[0.0, 2.0 / 3.0]], &[0.25, 0.0, 0.75], 3);
const RALSTON3: Butcher =
    butcher(&[0.0, 0.5, 0.75], &[&[], &[0.5], &[0.0, 0.75]], &[2.0 / 9.0, 1.0 / 3.0, 4.0 / 9.0], 3);
const WRAY3: Butcher =
    butcher(&[0.0, 8.0 / 15.0, 2.0 / 3.0], &[&[], &[8.0 / 15.0], &[0.25, 5.0 / 12.0]], &[0.25, 0.0, 0.75], 3);
const SSPRK3: Butcher = butcher(&[0.0, 1.0, 0.5], &[&[], &[1.0], &[0.25, 0.25]], &[1.0 / 6.0, 1.0 / 6.0, 2.0 / 3.0], 3);
const RK4: Butcher = butcher(
    &[0.0, 0.5, 0.5, 1.0],
    &[&[], &[0.5], &[0.0, 0.5], &[0.0, 0.0, 1.0]],
    &[1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0],
    4,
);
const RK38: Butcher = butcher(
    &[0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0],
    &[&[], &[1.0 / 3.0], &[-1.0 / 3.0, 1.0], &[1.0, -1.0, 1.0]],
    &[0.125, 0.375, 0.375, 0.125],
    4,
);

impl Tableau {
    /// Its numbers.
    pub fn butcher(self) -> Butcher {
        match self {
            Self::Euler => EULER,
            Self::Midpoint => MIDPOINT,
            Self::Heun => HEUN,
            Self::Ralston2 => RALSTON2,
            Self::Kutta => KUTTA,
            Self::Heun3 => HEUN3,
            Self::Ralston3 => RALSTON3,
            Self::Wray3 => WRAY3,
            Self::Ssprk3 => SSPRK3,
            Self::Rk4 => RK4,
            Self::Rk38 => RK38,
        }
    }
}
