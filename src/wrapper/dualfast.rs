use futures_util::future::{LocalBoxFuture, ready};
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Partner, Wrapper};
use crate::{
    denoiser::Estimate,
    error::Result,
    process::Level,
    sampler::{
        Run, combine,
        hook::{History, Hook, Slope},
    },
};

/// Extrapolates the newest noise away from an earlier one, which the network knew better, and leaves the solver's
/// differences as they are (Yu et al. 2025, arXiv 2506.13058, eq. 12). For six evaluations or fewer, on solvers of first
/// order; on higher ones it may do harm.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DualFast {
    /// How far; 0 changes nothing.
    #[schema(minimum = 0, maximum = 1)]
    pub c: f64,
    /// Which earlier noise.
    #[schema(inline)]
    pub anchor: Anchor,
    /// How `c` runs over the steps.
    #[schema(inline)]
    pub course: Course,
}

/// Which earlier noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Anchor {
    /// That of the step before.
    Previous,
    /// That of the first step.
    First,
}

/// How the extrapolation runs over the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// From 0 in the first step to `c` in the last.
    Rising,
    /// `c` in all of them.
    Constant,
}

impl Default for DualFast {
    fn default() -> Self {
        Self { c: 0.3, anchor: Anchor::Previous, course: Course::Rising }
    }
}

impl Wrapper for DualFast {
    fn apply<'a>(&'a self, run: &'a mut Run, _partner: Option<Partner>) -> LocalBoxFuture<'a, Result<()>> {
        run.hooks.push(Box::new(Away { options: self.clone(), first: None, at: None }));
        Box::pin(ready(Ok(())))
    }
}

struct Away {
    options: DualFast,
    first: Option<Tensor>,
    /// Where the newest estimate was made, and the one before it.
    at: Option<(Level, Level)>,
}

impl Hook for Away {
    fn bends(&self) -> bool {
        self.options.c > 0.0
    }

    fn estimate(&mut self, newest: &mut Estimate, at: &Level, _past: &History) {
        self.first.get_or_insert_with(|| newest.eps.shallow_clone());
        self.at = Some((*at, self.at.map_or(*at, |(newest, _)| newest)));
    }

    /// Over noises `d + c (eps - eps_earlier)`; over clean pictures `d - c (sigma / alpha) (eps - eps_earlier)`.
    fn slope(&mut self, slope: &mut Slope, history: &History) {
        let steps = (slope.index + slope.left) as f64;
        let c = match self.options.course {
            Course::Rising => self.options.c * slope.index as f64 / steps.max(1.0),
            Course::Constant => self.options.c,
        };
        let previous = history.estimates.get(slope.start + 1).map(|estimate| &estimate.eps);
        let earlier = match self.options.anchor {
            Anchor::Previous => previous,
            Anchor::First => previous.and(self.first.as_ref()),
        };
        let (Some(earlier), Some((newest, before))) = (earlier, self.at) else { return };
        let from = if slope.start == 0 { newest } else { before };
        let factor = if slope.of_noise { c } else { -c * from.ratio() };
        let own = &history.estimates[slope.start].eps;
        slope.d = combine(&[(1.0, &slope.d), (factor, own), (-factor, earlier)]);
    }
}
