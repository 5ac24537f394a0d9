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
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tracing::Span;
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
mod ending;
pub mod events;
pub mod failure;
pub mod forecast;
mod forward;
pub mod host;
mod inputs;
pub mod ledger;
mod memory;
mod message;
mod previews;
mod results;
pub mod rows;
mod slab;
mod start;
pub mod strict;
mod thread;

use events::Events;
use forecast::{Forecast, Held};
use ledger::Ledger;
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
    threads: Mutex<Vec<JoinHandle<()>>>,
    running: Mutex<HashMap<Uuid, Running>>,
    /// What owners' jobs cost.
    ledger: Mutex<Ledger>,
    /// When jobs that wait will start; none before the devices were measured.
    forecast: Mutex<Option<Forecast>>,
    /// Spans of the requests whose jobs wait.
    requests: Mutex<HashMap<Uuid, Span>>,
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
    work: u64,
    counters: Arc<Counters>,
    claimed: Instant,
    queue_ms: u64,
    alone: bool,
    span: Span,
    /// The previews that are still to be told, in order.
    previews: Option<tokio::task::JoinHandle<()>>,
}

impl Running {
    /// Its row evaluations that are done.
    fn done(&self) -> f64 {
        self.work as f64 * self.counters.part().unwrap_or(0.0)
    }

    /// What it still holds of the devices, where a job counts as at most `cap` rows.
    fn held(&self, cap: u32) -> Held {
        let left = 1.0 - self.counters.part().unwrap_or(0.5);
        let rows = self.rows.max(1);
        Held { rows: rows.min(cap), batch: rows, work: self.work as f64 * left.clamp(0.0, 1.0) }
    }

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
            threads: Mutex::default(),
            running: Mutex::default(),
            ledger: Mutex::default(),
            forecast: Mutex::default(),
            requests: Mutex::default(),
            ready: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        }));
        start::spawn(engine.clone(), devices);
        Ok(engine)
    }

    /// Says that a job will be stored by the request whose span is current.
    pub fn expect(&self, id: Uuid) {
        hold(&self.0.requests).insert(id, Span::current());
    }

    /// Says that a job is not to be waited for.
    pub fn forget(&self, id: Uuid) {
        hold(&self.0.requests).remove(&id);
        self.events().forget(id);
    }

    /// Says that there may be something to claim.
    pub fn wake(&self) {
        self.0.wake.notify_one();
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

    /// How long a job that is queued will wait for its start; `None` before the devices were measured.
    pub fn wait(&self, id: Uuid) -> Option<Duration> {
        hold(&self.0.forecast).as_ref().map(|forecast| forecast.wait(id))
    }

    fn remove(&self, id: Uuid) -> Option<Running> {
        let mut running = hold(&self.0.running);
        let removed = running.remove(&id);
        if let Some(Running { counters, .. }) = &removed {
            let ms = counters.device_us.load(Relaxed) as f64 / 1e3;
            hold(&self.0.ledger).close(id, ms, counters.part().unwrap_or(1.0));
        }
        if running.is_empty() {
            self.0.emptied.notify_waiters();
        }
        removed
    }

    fn draining(&self) -> bool {
        self.0.draining.load(Relaxed)
    }
}
