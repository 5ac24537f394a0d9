//! Whose job is next. Owners share the devices by what their jobs cost there, not by how many they are: start-time fair
//! queueing (Goyal, Vin and Cheng 1996). Within an owner, and where keys are off, the aged priority decides.

use std::collections::{HashMap, VecDeque};

use super::Room;
use crate::job::Owner;

/// What each owner's jobs have cost so far, on one common clock.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    spent: HashMap<Owner, f64>,
    /// Where an owner starts whose jobs do not run.
    floor: f64,
    /// What one row evaluation of the native size costs; 1 until that is measured.
    per_work: Option<f64>,
}

/// A job that waits.
#[derive(Clone, Debug)]
pub struct Waiting<I> {
    /// Its id.
    pub id: I,
    /// Rows that it will hold.
    pub rows: u32,
    /// Its row evaluations of the native size.
    pub work: u64,
}

/// The jobs that wait: those of each owner in their order, owners by their first.
pub type Queue<I> = Vec<(Owner, VecDeque<Waiting<I>>)>;

impl Shares {
    /// Shares of owners whose jobs run; others start at the least of these.
    pub fn new(spent: HashMap<Owner, f64>, per_work: Option<f64>) -> Self {
        let floor = spent.values().copied().reduce(f64::min).unwrap_or(0.0);
        Self { spent, floor, per_work }
    }

    /// How an owner stands.
    pub fn of(&self, owner: &Owner) -> f64 {
        self.spent.get(owner).copied().unwrap_or(self.floor)
    }

    /// What so much work will cost.
    pub fn cost(&self, work: u64) -> f64 {
        work as f64 * self.per_work.unwrap_or(1.0)
    }

    /// Counts a cost.
    pub fn spend(&mut self, owner: &Owner, cost: f64) {
        let share = self.of(owner) + cost;
        self.spent.insert(owner.clone(), share);
    }
}

/// Takes the next jobs that fit off the queue. A job that does not fit is waited for, not passed over.
pub fn pick<I>(queue: &mut Queue<I>, mut room: Room, shares: &mut Shares) -> Vec<(Owner, Waiting<I>)> {
    let mut chosen = Vec::new();
    loop {
        let waiting = queue.iter_mut().filter(|(_, jobs)| !jobs.is_empty());
        // The first of equals, which is the one that is due first.
        let Some((owner, jobs)) = waiting.min_by(|a, b| shares.of(&a.0).total_cmp(&shares.of(&b.0))) else { break };
        let Some(rows) = jobs.front().map(|job| job.rows.clamp(1, room.cap.max(1))) else { break };
        if rows > room.rows && chosen.len() >= room.at_least as usize {
            break;
        }
        room.rows = room.rows.saturating_sub(rows);
        let Some(job) = jobs.pop_front() else { break };
        shares.spend(owner, shares.cost(job.work));
        chosen.push((owner.clone(), job));
    }
    chosen
}
