use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{End, Own, Points, Spacing, Wanted, levels::falls};
use crate::error::{Fault, Result};

/// As many steps as a request may ask for.
const MOST_STEPS: usize = 1000;

/// How far beyond the model's least and greatest `sigma / alpha` a level may lie: lists are published in few digits.
const ROUNDING: f64 = 0.01;

/// Levels one by one, noisy to clean, as training times or as `sigma / alpha`; the number of steps follows from them.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Custom {
    /// Training times of the evaluations, 1 to 1000 of them, falling, each one that the model was trained on.
    pub timesteps: Option<Vec<f64>>,
    /// `sigma / alpha` of the evaluations, 1 to 1000 of them, falling, each one that the model was trained on; a last 0 is
    /// the clean end of the path.
    pub sigmas: Option<Vec<f64>>,
}

impl Custom {
    /// The name of the list that is given, and its entries without a last 0.
    fn list(&self) -> Option<(&'static str, &[f64])> {
        match (&self.timesteps, &self.sigmas) {
            (Some(times), None) => Some(("timesteps", times)),
            (None, Some(sigmas)) => Some(("sigmas", sigmas.strip_suffix(&[0.0]).unwrap_or(sigmas))),
            _ => None,
        }
    }

    fn ends_clean(&self) -> bool {
        self.sigmas.as_ref().is_some_and(|sigmas| sigmas.last() == Some(&0.0))
    }

    /// What an entry may be, and what its `sigma / alpha` is.
    fn read(&self, wanted: &Wanted, entry: f64) -> ((f64, f64), f64) {
        let ground = wanted.ground;
        if self.timesteps.is_some() {
            return (ground.process.range(), ground.process.at(entry).ratio());
        }
        let (low, high) = ground.ends();
        ((low * (1.0 - ROUNDING), high * (1.0 + ROUNDING)), entry)
    }
}

impl Spacing for Custom {
    fn points(&self, wanted: &Wanted) -> Points {
        let entries = self.list().map_or(Vec::new(), |(_, list)| list.to_vec());
        if self.timesteps.is_none() {
            return wanted.ratios(entries.into_iter());
        }
        let end = wanted.to_first.then(|| wanted.ground.time(0.0));
        Points::Times(entries.into_iter().chain(end).collect())
    }

    fn check(&self) -> Result<(), Fault> {
        let Some((name, list)) = self.list() else {
            return Err(Fault::new("", "needs either `timesteps` or `sigmas`"));
        };
        if !(1..=MOST_STEPS).contains(&list.len()) {
            return Err(Fault::new(format!("/{name}"), format!("must be 1 to {MOST_STEPS} levels")));
        }
        match list.windows(2).position(|pair| pair[1] >= pair[0]) {
            Some(before) => Err(Fault::new(format!("/{name}/{}", before + 1), "must be below the entry before it")),
            None => Ok(()),
        }
    }

    fn fits(&self, wanted: &Wanted) -> Result<(), Fault> {
        let mut before = f64::INFINITY;
        let (name, list) = self.list().unwrap_or_default();
        for (k, entry) in list.iter().enumerate() {
            let refuse = |message: String| Err(Fault::new(format!("/schedule/{name}/{k}"), message));
            let ((low, high), ratio) = self.read(wanted, *entry);
            if !(low..=high).contains(entry) {
                return refuse(format!("must be {low} to {high} for this model"));
            }
            if k > 0 && !falls(before, ratio) {
                return refuse("must be further below the entry before it: the noise is all but the same".into());
            }
            before = ratio;
        }
        Ok(())
    }

    fn own(&self) -> Option<Own> {
        let (_, list) = self.list()?;
        Some(Own { steps: u32::try_from(list.len()).ok()?, end: self.ends_clean().then_some(End::Zero) })
    }
}
