//! What the jobs of each owner cost, by measurement, and how fast the devices are.

use std::{collections::HashMap, time::Instant};

use uuid::Uuid;

use crate::{job::Owner, store::fair::Shares};

/// Seconds in which half of what is known of the devices' speed is forgotten.
const HALF_LIFE_S: f64 = 60.0;

/// The books of the dispatcher.
#[derive(Default)]
pub struct Ledger {
    spent: HashMap<Owner, f64>,
    open: HashMap<Uuid, Entry>,
    pace: Pace,
}

struct Entry {
    owner: Owner,
    /// What was counted when it was claimed.
    guess: f64,
    /// Whether that was in milliseconds; before any were measured guesses are only good for each other.
    measured: bool,
    /// Row evaluations of the native size.
    work: u64,
}

/// Milliseconds of the devices by row evaluations of the native size, newer ones counting more.
#[derive(Default)]
struct Pace {
    ms: f64,
    work: f64,
    noted: Option<Instant>,
}

impl Ledger {
    /// How owners stand.
    pub fn shares(&self) -> Shares {
        let running = |owner: &Owner| self.open.values().any(|entry| entry.owner == *owner);
        let spent = self.spent.iter().filter(|(owner, _)| running(owner));
        Shares::new(spent.map(|(owner, spent)| (owner.clone(), *spent)).collect(), self.per_work())
    }

    /// Milliseconds of a row evaluation of the native size; `None` before the first job has ended.
    pub fn per_work(&self) -> Option<f64> {
        (self.pace.work > 0.0).then(|| self.pace.ms / self.pace.work)
    }

    /// A job was claimed: what it will cost counts at once, so that many claimed together share as one by one would.
    pub fn open(&mut self, job: Uuid, owner: &Owner, work: u64) {
        let mut shares = self.shares();
        let (guess, measured) = (shares.cost(work), self.per_work().is_some());
        shares.spend(owner, guess);
        self.spent.insert(owner.clone(), shares.of(owner));
        self.open.insert(job, Entry { owner: owner.clone(), guess, measured, work });
    }

    /// A job has left the devices; `ms` of them were for it, in which it did this part of its work.
    pub fn close(&mut self, job: Uuid, ms: f64, part: f64) {
        let Some(Entry { owner, guess, measured, work }) = self.open.remove(&job) else { return };
        let done = work as f64 * part.clamp(0.0, 1.0);
        if done > 0.0 && ms > 0.0 {
            self.pace.note(ms, done);
        }
        if let Some(spent) = self.spent.get_mut(&owner) {
            *spent += if measured { ms - guess } else { 0.0 };
        }
        if self.open.is_empty() {
            self.spent.clear();
        }
    }
}

impl Pace {
    fn note(&mut self, ms: f64, work: f64) {
        let now = Instant::now();
        let kept = self.noted.map_or(0.0, |noted| (-(now - noted).as_secs_f64() / HALF_LIFE_S).exp2());
        self.ms = self.ms * kept + ms;
        self.work = self.work * kept + work;
        self.noted = Some(now);
    }
}
