use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Ground, Points, Spacing, Wanted};
use crate::error::{Fault, Result};

/// The training times of a few-step student: every so many of those its teacher was walked at when it was distilled.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Distilled {
    /// Steps of the teacher; a run has at most as many.
    #[schema(minimum = 1, maximum = 1000)]
    pub original_steps: u32,
    /// Chosen from all training times instead.
    pub dense: bool,
}

impl Default for Distilled {
    fn default() -> Self {
        Self { original_steps: 50, dense: false }
    }
}

impl Distilled {
    /// How many times there are to choose from, and the stride between them.
    fn original(&self, ground: &Ground) -> (usize, usize) {
        let (all, steps) = (ground.labels(), self.original_steps as usize);
        if self.dense { (all, 1) } else { (steps, all / steps) }
    }
}

impl Spacing for Distilled {
    fn points(&self, wanted: &Wanted) -> Points {
        let (count, stride) = self.original(wanted.ground);
        // In floating point, as students were trained: an exact quotient would pick other times where it is whole.
        let skip = count as f64 / wanted.steps as f64;
        let chosen = (0..wanted.steps).map(|k| (k as f64 * skip).floor() as usize);
        wanted.times(chosen.map(|index| ((count - index) * stride - 1) as f64))
    }

    fn fits(&self, wanted: &Wanted) -> Result<(), Fault> {
        let (all, most) = (wanted.ground.labels(), self.original_steps as usize);
        if most > all {
            return Err(Fault::new("/schedule/original_steps", format!("must be at most {all} for this model")));
        }
        if wanted.steps > most {
            return Err(Fault::new("/steps", format!("must be at most {most}, the schedule's `original_steps`")));
        }
        Ok(())
    }
}
