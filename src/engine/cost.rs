//! What a forward costs by its rows, by measurement, and so how many rows it may have.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

/// A forward may cost this much more per row than the best count before it counts as past the knee.
const KNEE: f64 = 1.1;
/// How fast an old best is forgotten at each new measurement.
const FADE: f64 = 1.02;

/// A forward shorter than this is taken to last as long: below, what else the machine does is measured, and nobody would
/// notice what more rows cost.
const FLOOR: f64 = 5e-3;

/// Measurements of a count before it is believed: a single one may have met with anything.
const BELIEVED: u32 = 3;

/// Seconds of a forward by its number of rows, for one model, stage and shape.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    best: BTreeMap<usize, Best>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Best {
    seconds: f64,
    times: u32,
}

impl Curve {
    /// Notes a measured forward. The best time counts: whatever else the machine does only adds to it.
    pub fn note(&mut self, rows: usize, time: Duration) {
        let seconds = time.as_secs_f64();
        let best = self.best.entry(rows).or_insert(Best { seconds, times: 0 });
        best.seconds = seconds.min(best.seconds * FADE);
        best.times = best.times.saturating_add(1);
    }

    /// How many measurements it rests on; those after a count is believed add nothing.
    pub fn support(&self) -> usize {
        self.best.values().map(|best| best.times.min(BELIEVED) as usize).sum()
    }

    /// The measurements to go by: those made often enough, or whatever there is.
    fn believed(&self) -> impl DoubleEndedIterator<Item = (usize, f64)> {
        let times = if self.best.values().any(|best| best.times >= BELIEVED) { BELIEVED } else { 1 };
        self.best.iter().filter(move |(_, best)| best.times >= times).map(|(rows, best)| (*rows, best.seconds))
    }

    /// Seconds that a forward of `rows` takes: measured, between two measured counts, or in proportion to the greatest.
    pub fn seconds(&self, rows: usize) -> f64 {
        let below = self.believed().take_while(|(known, _)| *known <= rows).last();
        let above = self.believed().find(|(known, _)| *known >= rows);
        match (below, above) {
            (Some((low, a)), Some((high, b))) if high > low => a + (b - a) * (rows - low) as f64 / (high - low) as f64,
            (Some((low, a)), _) => a * rows as f64 / low as f64,
            (None, Some((_, b))) => b,
            (None, None) => 0.0,
        }
    }

    /// The most rows, `max` at most, whose forward fits `tick` and costs at most a tenth more per row than the best.
    pub fn cap(&self, max: usize, tick: Duration) -> usize {
        let per_row = |rows: usize| self.seconds(rows).max(FLOOR) / rows as f64;
        let fits = |rows: &usize| self.seconds(*rows) <= tick.as_secs_f64();
        let best =
            self.believed().filter(|(rows, _)| fits(rows)).map(|(rows, _)| per_row(rows)).fold(f64::INFINITY, f64::min);
        (1..=max).rev().find(|rows| fits(rows) && per_row(*rows) <= best * KNEE).unwrap_or(1)
    }
}
