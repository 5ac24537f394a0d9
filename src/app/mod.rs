//! The running service: what its parts are, how it starts, and how it ends without losing anything.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    catalog::Catalog,
    config::Config,
    engine::{
        Engine, EngineParts,
        events::{Event, EventId, Events, Preview, Subscription},
    },
    http::{a1111::desk::Desk, cors, tls, valid::Valid},
    job::{File, Format, Image, Job, Owner, Progress, Request, Status},
    metrics::Metrics,
    store::{self, Allowance, Found, NewJob, Once, Store, blobs::Blobs, sqlite::SqliteStore, sweep},
    webhooks::Webhooks,
};

mod door;

pub use door::{Door, kept};

/// How long threads get for what they compute or load when the service ends.
const LAST_FORWARD: Duration = Duration::from_secs(5);

/// Everything that handlers need.
pub struct App {
    /// The configuration.
    pub config: Config,
    /// The models.
    pub catalog: Catalog,
    /// The queue.
    pub store: Arc<dyn Store>,
    /// Pictures and files.
    pub blobs: Blobs,
    /// What computes.
    pub engine: Engine,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Who gets in, how fast, and what the service signs.
    pub door: Door,
    /// Who waits for pictures in AUTOMATIC1111's dialect.
    pub desk: Desk,
    /// Ends streams and waits when the service closes.
    pub closing: CancellationToken,
    draining: AtomicBool,
}

impl App {
    /// Opens the store, takes up what an unclean end left behind, and starts the engine.
    ///
    /// # Errors
    /// A configuration that cannot be followed, a store that is in use, a default model that cannot be read.
    pub async fn start(config: Config) -> anyhow::Result<Arc<Self>> {
        tls::provide();
        cors::layer(&config.cors).map_err(anyhow::Error::msg)?;
        let catalog = Catalog::open(&config)?;
        let store = recovered(&config).await?;
        let blobs = Blobs::open(&config.store.blob_url)?;
        let metrics = Arc::new(Metrics::new());
        let door = Door::open(&config, &*store).await?;
        let parts = EngineParts {
            config: config.clone(),
            catalog: catalog.clone(),
            store: store.clone(),
            blobs: blobs.clone(),
            metrics: metrics.clone(),
            events: Events::new(config.limits.event_bytes).linked(door.links.clone()),
        };
        let engine = Engine::start(parts)?;
        sweep::spawn(store.clone(), blobs.clone(), &config.store);
        let shared = (store.clone(), door.links.clone(), metrics.clone());
        Webhooks::spawn(&config.webhooks, door.signer.clone(), shared)?;
        let (desk, closing, draining) = (Desk::default(), CancellationToken::new(), AtomicBool::new(false));
        Ok(Arc::new(Self { config, catalog, store, blobs, engine, metrics, door, desk, closing, draining }))
    }

    /// Whether the service is on its way down and takes no new jobs.
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Stops taking jobs, lets running ones finish within `drain.timeout_s`, gives the rest back to the queue, and then
    /// ends every stream and wait.
    pub async fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.engine.drain(Duration::from_secs(self.config.drain.timeout_s)).await;
        self.closing.cancel();
        self.engine.join(LAST_FORWARD).await;
    }

    /// Stores a job and tells the engine.
    ///
    /// # Errors
    /// The queue is full, or the store fails; nothing is stored then.
    pub async fn submit(&self, valid: Valid, terms: Terms) -> store::Result<Job> {
        Ok(self.submit_watched(valid, terms).await?.0)
    }

    /// The same with every preview of the job, in a channel that closes at its end.
    ///
    /// # Errors
    /// As [`App::submit`].
    pub async fn submit_watched(&self, valid: Valid, terms: Terms) -> store::Result<(Job, UnboundedReceiver<Preview>)> {
        let (rows, work, deadline) = (valid.cost.rows, valid.cost.work, terms.deadline);
        let webhook = valid.webhook.clone();
        let mut job = Job { owner: terms.owner, ..new_job(valid) };
        job.queue_position = Some(self.store.depth().await?.iter().map(|(_, jobs)| jobs).sum());
        let previews = self.engine.events().watch(job.id);
        // Told before it is stored: once it is, the engine may claim it at any moment, and `started` must come second.
        self.engine.events().publish(job.id, 0, Event::Queued(Box::new(job.clone())));
        let id = job.id;
        self.engine.expect(id);
        let room = Allowance {
            queued: self.config.queue.max_depth,
            own_queued: terms.queued_jobs,
            own_work: terms.row_evaluations_per_day,
        };
        let inserted = self.store.insert(&NewJob { rows, deadline, job, work, once: terms.once, webhook }, room).await;
        match &inserted {
            Ok(job) => {
                tracing::info!(job = %id, model = job.request.model(), "accepted");
                self.engine.wake();
            }
            Err(_) => self.engine.forget(id),
        }
        Ok((self.shown(inserted?), previews))
    }

    /// The job once it has ended, or `None` when `time` is over first, or the service closes.
    ///
    /// # Errors
    /// The store.
    pub async fn wait(&self, id: Uuid, time: Duration) -> store::Result<Option<Job>> {
        let Found::Here((_, mut events)) = self.listen(id, None).await? else { return Ok(None) };
        let ended = async { while events.next().await.is_some() {} };
        tokio::select! {
            _ = timeout(time, ended) => {}
            () = self.closing.cancelled() => {}
        }
        match self.store.job(id).await? {
            Found::Here(job) if job.status.is_final() => Ok(Some(self.shown(job))),
            _ => Ok(None),
        }
    }

    /// The events of a job after `last`, and the job as it was when listening began.
    ///
    /// # Errors
    /// The store.
    pub async fn listen(&self, id: Uuid, last: Option<EventId>) -> store::Result<Found<(Job, Subscription)>> {
        let events = self.engine.events();
        match self.store.job(id).await? {
            Found::Here(job) => events.settle(&job),
            Found::Gone => return Ok(Found::Gone),
            Found::Missing => return Ok(Found::Missing),
        }
        let subscription = events.subscribe(id, last);
        // Read again: an end that came in between is in the store, and settling wakes the subscription.
        match self.store.job(id).await? {
            Found::Here(job) => {
                events.settle(&job);
                Ok(Found::Here((job, subscription)))
            }
            Found::Gone => Ok(Found::Gone),
            Found::Missing => Ok(Found::Missing),
        }
    }

    /// Cancels a job that has not ended, and answers it as it is then.
    ///
    /// # Errors
    /// The store.
    pub async fn cancel(&self, id: Uuid) -> store::Result<Found<Job>> {
        self.engine.cancel(id, None).await
    }

    /// Erases a job with its pictures and files, canceling it first.
    ///
    /// # Errors
    /// The store.
    pub async fn erase(&self, id: Uuid) -> store::Result<Found<()>> {
        match self.cancel(id).await? {
            Found::Here(_) => {
                let erased = sweep::erase(&*self.store, &self.blobs, id).await;
                self.engine.forget(id);
                erased
            }
            Found::Gone => Ok(Found::Gone),
            Found::Missing => Ok(Found::Missing),
        }
    }

    /// The job as its owner is shown it: with how far the engine is right now, which is never a row, and with addresses that
    /// a browser can follow.
    pub fn shown(&self, mut job: Job) -> Job {
        if let Some(progress) = self.engine.progress(job.id).filter(|_| job.status == Status::Running) {
            job.progress = progress;
        }
        if job.status == Status::Queued {
            let wait = self.engine.wait(job.id);
            job.estimated_wait_ms = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        }
        self.door.links.sign(job)
    }
}

/// What goes with a job beside its request.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Whose it is.
    pub owner: Owner,
    /// When it ends if it has not ended before.
    pub deadline: Option<Timestamp>,
    /// The `Idempotency-Key` that came with it.
    pub once: Option<Once>,
    /// Jobs of this owner that may wait.
    pub queued_jobs: Option<u32>,
    /// Row evaluations that this owner may ask for in a day.
    pub row_evaluations_per_day: Option<u64>,
}

/// The store, in which what an unclean end left in the middle waits again.
async fn recovered(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    let store = SqliteStore::open(&config.store.database_url).await?;
    let (again, failed) = store.recover().await?;
    if again + failed > 0 {
        tracing::warn!(again, failed, "the last run ended in the middle of jobs");
    }
    Ok(Arc::new(store))
}

fn new_job(valid: Valid) -> Job {
    let Valid { request, warnings, cost, .. } = valid;
    let (images, files) = results(&request);
    Job {
        id: Uuid::now_v7(),
        owner: None,
        kind: request.kind(),
        status: Status::Queued,
        created_at: now(),
        started_at: None,
        finished_at: None,
        queue_position: None,
        estimated_wait_ms: None,
        attempt: 0,
        progress: Progress { evaluations: 0, of: Some(cost.evaluations * u64::from(request.count())) },
        metadata: request.metadata().clone(),
        request,
        images,
        files,
        engine: None,
        warnings,
        error: None,
        usage: None,
    }
}

/// What a request will leave, its ids drawn.
fn results(request: &Request) -> (Vec<Image>, Vec<File>) {
    let files = |kind| (0..request.count()).map(|index| File::pending(request, kind, index)).collect();
    let images = || (0..request.count()).map(|index| Image::pending(request, index)).collect();
    match request {
        Request::Inversion(_) => (vec![], files("inversion")),
        Request::Features(features) => (if features.image_b.is_some() { images() } else { vec![] }, files("features")),
        Request::Pictures(made) if made.output.format == Format::Safetensors => (vec![], files("latents")),
        Request::Pictures(_) => (images(), vec![]),
    }
}

/// In microseconds, as the store keeps it.
fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).expect("it comes from a timestamp")
}
