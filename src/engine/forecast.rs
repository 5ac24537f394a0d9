//! When each waiting job will start: the queue played through, with the devices as fast as they were measured to be.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::store::{
    Room,
    fair::{Queue, Shares, pick},
};

/// A run that holds room: its rows, as far as they count, and the row evaluations that it has left.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Rows that count against the room.
    pub rows: u32,
    /// Rows of each of its evaluations.
    pub batch: u32,
    /// Row evaluations left.
    pub work: f64,
}

/// The start of each job that waits, from the moment it was foreseen.
#[derive(Debug)]
pub struct Forecast {
    made: Instant,
    starts: HashMap<Uuid, Duration>,
    /// When a job would start that came now.
    next: Duration,
}

impl Forecast {
    /// How long a job will still wait.
    pub fn wait(&self, job: Uuid) -> Duration {
        self.starts.get(&job).unwrap_or(&self.next).saturating_sub(self.made.elapsed())
    }

    /// Plays the queue through. Runs that share a device go through it one evaluation each in turn, `ms` for each row.
    pub fn of(mut held: Vec<Held>, mut queue: Queue<Uuid>, room: Room, (mut shares, ms): (Shares, f64)) -> Self {
        let (mut starts, mut now) = (HashMap::new(), 0.0);
        loop {
            let taken: u32 = held.iter().map(|run| run.rows).sum();
            let at_least = room.at_least.saturating_sub(u32::try_from(held.len()).unwrap_or(u32::MAX));
            let free = Room { rows: room.rows.saturating_sub(taken), at_least, ..room };
            for (_, job) in pick(&mut queue, free, &mut shares) {
                starts.insert(job.id, time(now));
                let rows = job.rows.clamp(1, room.cap.max(1));
                held.push(Held { rows, batch: job.rows.max(1), work: job.work as f64 });
            }
            let left = |run: &Held| run.work / f64::from(run.batch);
            let Some(evaluations) = held.iter().map(left).reduce(f64::min) else { break };
            if queue.iter().all(|(_, jobs)| jobs.is_empty()) && fits(&held, room) {
                break;
            }
            let rows: f64 = held.iter().map(|run| f64::from(run.batch)).sum();
            now += evaluations * rows * ms;
            held.iter_mut().for_each(|run| run.work -= evaluations * f64::from(run.batch));
            held.retain(|run| run.work > 1e-9 * f64::from(run.batch));
        }
        Self { made: Instant::now(), starts, next: time(now) }
    }
}

/// Whether there is room for one more.
fn fits(held: &[Held], room: Room) -> bool {
    held.iter().map(|run| run.rows).sum::<u32>() < room.rows || held.len() < room.at_least as usize
}

fn time(ms: f64) -> Duration {
    Duration::from_secs_f64((ms / 1e3).clamp(0.0, 1e9))
}
