//! What dispatcher and threads say to each other: one channel each way.

use std::{path::PathBuf, sync::Arc};

use tch::Tensor;
use tracing::Span;
use uuid::Uuid;

use super::{host::Measured, slab::Counters};
use crate::{
    error::Result,
    model::Card,
    task::{Product, Task},
};

/// What the thread is told.
pub enum Command {
    /// Begin these runs together.
    Start(Vec<Start>),
    /// Take that job's run out; its questions go with it.
    Cancel(Uuid),
    /// End that job's run with what it takes its pictures to be by now.
    Interrupt(Uuid),
    /// End when nothing runs any more.
    Stop,
}

/// A run to begin.
pub struct Start {
    /// Whose it is.
    pub job: Uuid,
    /// The attempt it belongs to.
    pub attempt: u32,
    /// What to do.
    pub task: Task,
    /// How far it is, shared with whoever looks.
    pub counters: Arc<Counters>,
    /// What its log lines stand in.
    pub span: Span,
}

/// What the thread tells.
pub enum Report {
    /// A run came further.
    Progress(Uuid),
    /// Estimates worth a preview.
    Preview(Estimates),
    /// A run ended.
    Ended {
        /// Whose it is.
        job: Uuid,
        /// The attempt.
        attempt: u32,
        /// Its pictures, or why there are none.
        end: Result<Vec<Product>>,
    },
    /// Measurements that are worth keeping, and where.
    Measured(Measured, PathBuf),
    /// The device answers nothing any more.
    Dead(String),
}

/// What a run takes its pictures to be, half way.
pub struct Estimates {
    /// Whose they are.
    pub job: Uuid,
    /// The attempt.
    pub attempt: u32,
    /// The model.
    pub card: Arc<Card>,
    /// Pixels, width and height.
    pub size: (u32, u32),
    /// Index of each row's picture.
    pub pictures: Vec<u32>,
    /// Evaluations of each picture so far.
    pub evaluations: u64,
    /// Whether the client was promised their number.
    pub owed: bool,
    /// `[n, C, h, w]`, f32, on the processor.
    pub latents: Tensor,
}
