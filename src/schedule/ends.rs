use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::process::Level;

/// What the state at the first level is, for standard normal z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// `sqrt(alpha^2 + sigma^2) z`: as if data of unit variance were in it.
    Unit,
    /// `sigma z`: noise alone.
    Sigma,
}

impl Start {
    /// What z is multiplied by at a level.
    pub fn scale(self, level: &Level) -> f64 {
        match self {
            Self::Unit => level.alpha.hypot(level.sigma),
            Self::Sigma => level.sigma,
        }
    }
}

/// Which times the network is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Time {
    /// Rounded to training times, where the process has integer ones.
    Integer,
    /// As they come.
    Real,
}

/// Where a path ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// At `sigma = 0`.
    Zero,
    /// At the least noisy training level.
    First,
}

/// The ends of a path, all explicit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// The state at the first level.
    pub start: Start,
    /// Which times the network is told.
    pub time: Time,
    /// Where the path ends.
    pub end: End,
}

/// Ends of which some are left to the sampler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct OpenEnds {
    /// The state at the first level: `unit` (unit variance) or `sigma` (noise alone); null: the sampler's habit.
    #[schema(inline)]
    pub start: Option<Start>,
    /// Times the network is told: `integer` or `real`; null: the sampler's habit.
    #[schema(inline)]
    pub time: Option<Time>,
    /// Where the path ends: `zero`, or `first`, the least noisy training level; null: the sampler's habit.
    #[schema(inline)]
    pub end: Option<End>,
}

impl OpenEnds {
    /// With the gaps filled from the sampler's.
    pub fn or(&self, habit: &Ends) -> Ends {
        Ends {
            start: self.start.unwrap_or(habit.start),
            time: self.time.unwrap_or(habit.time),
            end: self.end.unwrap_or(habit.end),
        }
    }
}
