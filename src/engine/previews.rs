//! When a run shows what it takes its pictures to be.

use std::sync::Arc;

use crate::{model::Card, task::Task};

/// Which estimates of a run are shown, and of what.
pub struct Previews {
    /// The model.
    pub card: Arc<Card>,
    /// Pixels, width and height.
    pub size: (u32, u32),
    /// Indices of the pictures of the run.
    pub pictures: Vec<u32>,
    when: When,
    shown: u64,
}

/// Evaluations are those of each picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Every(u64),
    Spread { previews: u64, evaluations: Option<u64> },
    Never,
}

impl Previews {
    /// As the task's request wishes.
    pub fn of(task: &Task) -> Self {
        let (size, pictures, when) = match task {
            Task::Pictures(plan) => {
                let request = &plan.request;
                let when = match (u64::from(request.preview_every), u64::from(request.previews)) {
                    (0, 0) => When::Never,
                    (0, previews) => When::Spread { previews, evaluations: task.evaluations() },
                    (every, _) => When::Every(every),
                };
                ((request.width, request.height), plan.pictures.clone(), when)
            }
            Task::Look(look) => ((look.request.width, look.request.height), vec![0], When::Never),
        };
        Self { card: task.card().clone(), size, pictures, when, shown: 0 }
    }

    /// Evaluations of each picture when the run has made so many.
    pub fn each(&self, evaluations: u64) -> u64 {
        evaluations / self.pictures.len().max(1) as u64
    }

    /// Whether one is due after so many evaluations of the run. The estimate at hand is then that of the one before.
    pub fn due(&self, evaluations: u64) -> bool {
        self.when.count(self.each(evaluations)) > self.shown
    }

    /// Notes that one was shown after so many evaluations of the run.
    pub fn note(&mut self, evaluations: u64) {
        self.shown = match self.when {
            When::Every(_) => self.when.count(self.each(evaluations)),
            When::Spread { .. } | When::Never => self.shown + 1,
        };
    }

    /// Whether their number was promised.
    pub fn owed(&self) -> bool {
        matches!(self.when, When::Spread { .. })
    }
}

impl When {
    /// Previews that should have been shown after so many evaluations.
    fn count(self, made: u64) -> u64 {
        match self {
            Self::Every(every) => made / every,
            Self::Spread { previews, evaluations } => {
                (1..=previews).take_while(|k| mark(*k, previews, evaluations) < made).count() as u64
            }
            Self::Never => 0,
        }
    }
}

/// The evaluation whose estimate is the k-th of so many previews: they part the run evenly, or follow each other where there
/// are too few evaluations for that; where nobody knows how many there will be they come after 2, 4, 8 ...
fn mark(k: u64, previews: u64, evaluations: Option<u64>) -> u64 {
    match evaluations {
        Some(all) if all > previews => (k * all + previews.div_ceil(2)) / (previews + 1),
        Some(_) => k,
        None => 1 << k.min(62),
    }
}
