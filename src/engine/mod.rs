//! The engine: one thread for each device batches single network evaluations of unlike runs.
//!
//! A job comes in through `dispatch`, becomes a run on a `thread`, and leaves through `results`. Everything that
//! handlers may ask of it is on [`Engine`].

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
        mpsc::Sender,
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    catalog::Catalog,
    config::Config,
    job::{EngineInfo, Progress, Usage},
    metrics::Metrics,
    store::{Store, blobs::Blobs},
};

pub mod batch;
pub mod cost;
mod dispatch;
pub mod events;
pub mod failure;
mod host;
mod message;
mod results;
mod rows;
mod slab;
mod start;
pub mod strict;
mod thread;

use events::Events;
use message::Command;
use slab::Counters;

/// What the engine works with.
pub struct EngineParts {
    /// The configuration.
    pub config: Config,
    /// The models.
    pub catalog: Catalog,
    /// The queue.
    pub store: Arc<dyn Store>,
    /// Pictures and files.
    pub blobs: Blobs,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Where what happens is told.
    pub events: Events,
}

/// A handle to the engine; clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    parts: EngineParts,
    wake: Notify,
    emptied: Notify,
    workers: Mutex<Vec<Worker>>,
    running: Mutex<HashMap<Uuid, Running>>,
    ready: AtomicBool,
    draining: AtomicBool,
}

/// A thread as the dispatcher sees it.
struct Worker {
    commands: Sender<Command>,
    /// Rows of a native forward.
    cap: Arc<AtomicUsize>,
    /// What each model is there.
    infos: HashMap<Arc<str>, EngineInfo>,
}

/// A claimed job until its end is stored.
struct Running {
    attempt: u32,
    worker: usize,
    rows: u32,
    counters: Arc<Counters>,
    claimed: Instant,
    queue_ms: u64,
    alone: bool,
}

impl Running {
    fn usage(&self) -> Usage {
        Usage {
            evaluations: self.counters.evaluations.load(Relaxed),
            rows: self.counters.rows.load(Relaxed),
            queue_ms: self.queue_ms,
            run_ms: u64::try_from(self.claimed.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Holds whatever the lock guards; every change under it is a single one, so a thread that died left it whole.
fn hold<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// Starts the threads and the dispatcher; models load meanwhile, see [`Engine::ready`].
    ///
    /// # Errors
    /// A device that does not exist.
    pub fn start(parts: EngineParts) -> anyhow::Result<Self> {
        let devices = start::devices(&parts.config.engine)?;
        let engine = Self(Arc::new(Inner {
            parts,
            wake: Notify::new(),
            emptied: Notify::new(),
            workers: Mutex::default(),
            running: Mutex::default(),
            ready: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        }));
        start::spawn(engine.clone(), devices);
        Ok(engine)
    }

    /// Says that a job was stored.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Takes a job's run out; answers what it cost and how far it came. `None` when it does not run here.
    pub fn cancel(&self, id: Uuid) -> Option<(Usage, Progress)> {
        let running = self.remove(id)?;
        if let Some(worker) = hold(&self.0.workers).get(running.worker) {
            // A thread that is gone runs nothing.
            let _ = worker.commands.send(Command::Cancel(id));
        }
        self.wake();
        Some((running.usage(), running.counters.progress()))
    }

    /// How far a running job is.
    pub fn progress(&self, id: Uuid) -> Option<Progress> {
        hold(&self.0.running).get(&id).map(|running| running.counters.progress())
    }

    /// Whether every device has its models.
    pub fn ready(&self) -> bool {
        self.0.ready.load(Relaxed)
    }

    /// What happens to jobs.
    pub fn events(&self) -> &Events {
        &self.0.parts.events
    }

    /// Claims nothing more, gives running jobs that much time, and puts the rest back into the queue.
    pub async fn drain(&self, time: Duration) {
        self.0.draining.store(true, Relaxed);
        let _ = tokio::time::timeout(time, self.emptied()).await;
        let rest: Vec<(Uuid, u32)> = hold(&self.0.running).iter().map(|(id, running)| (*id, running.attempt)).collect();
        for (id, attempt) in rest {
            self.cancel(id);
            if let Err(cause) = self.0.parts.store.give_back(id, attempt).await {
                tracing::error!(job = %id, %cause, "a running job could not be put back; the next start does");
            }
        }
        for worker in hold(&self.0.workers).iter() {
            let _ = worker.commands.send(Command::Stop);
        }
    }

    async fn emptied(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            if hold(&self.0.running).is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn remove(&self, id: Uuid) -> Option<Running> {
        let mut running = hold(&self.0.running);
        let removed = running.remove(&id);
        if running.is_empty() {
            self.0.emptied.notify_waiters();
        }
        removed
    }

    fn draining(&self) -> bool {
        self.0.draining.load(Relaxed)
    }
}
