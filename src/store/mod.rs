//! The store is the queue: a request is a row before it is an answer, so nothing accepted is lost.
//!
//! Rows are written when a job is inserted, claimed, has a picture, and ends; progress and previews are never rows.

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use crate::job::{EngineInfo, File, Image, Job, JobError, Kind, Owner, Progress, Status, Usage};

pub mod blobs;
pub mod fair;
pub mod hooks;
pub mod keys;
pub mod lock;
pub mod sqlite;
pub mod sweep;

use fair::{Queue, Shares};

/// What the store itself can fail with.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The queue holds `queue.max_depth` jobs already.
    #[error("the queue is full")]
    Full,
    /// The owner has spent what a day allows.
    #[error("{spent} of {allowed} row evaluations of this day are spent")]
    Spent {
        /// So far.
        spent: u64,
        /// In a day.
        allowed: u64,
    },
    /// A job with this `Idempotency-Key` is there already.
    #[error("the idempotency key is known")]
    Repeated,
    /// As many jobs of this owner wait as may.
    #[error("{0} jobs of this key wait already")]
    FullForOwner(u32),
    /// Another process serves this database.
    #[error("{0} is in use by another darkroom process; stop it first or set store.database_url to another file")]
    Locked(String),
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The migrations.
    #[error(transparent)]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The blobs.
    #[error(transparent)]
    Blob(#[from] object_store::Error),
    /// A file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A row that does not read back.
    #[error("a stored value does not read back: {0}")]
    Corrupt(#[from] serde_json::Error),
}

/// The result of a store's operations.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A job about to be accepted: queued, its images and files pending with their ids drawn.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The job; `status` is `queued`, `attempt` 0.
    pub job: Job,
    /// When `Cancel-After` ends it.
    pub deadline: Option<Timestamp>,
    /// Rows that it will hold in the engine: pictures times guidance rows.
    pub rows: u32,
    /// Its work in row evaluations of the native size.
    pub work: u64,
    /// The `Idempotency-Key` that came with it.
    pub once: Option<Once>,
    /// Where its news go.
    pub webhook: Option<hooks::Webhook>,
}

/// A wish that is meant once, however often it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// The client's own name for it.
    pub name: String,
    /// What is asked for.
    pub fingerprint: [u8; 32],
}

/// What a job must find room in.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Queued jobs of everybody.
    pub queued: u64,
    /// Queued jobs of its owner.
    pub own_queued: Option<u32>,
    /// Row evaluations of its owner in a day.
    pub own_work: Option<u64>,
}

impl Allowance {
    /// For a job whose owner has no bounds of its own.
    pub fn of(queued: u64) -> Self {
        Self { queued, own_queued: None, own_work: None }
    }
}

/// What is found under an id.
#[derive(Clone, Debug)]
pub enum Found<T> {
    /// It is there.
    Here(T),
    /// It was erased.
    Gone,
    /// There never was such a thing.
    Missing,
}

impl<T> Found<T> {
    /// The same with `f` of what is there.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Self::Here(thing) => Found::Here(f(thing)),
            Self::Gone => Found::Gone,
            Self::Missing => Found::Missing,
        }
    }
}

/// A claimed job: `running`, its attempt counted.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The job; images that an earlier attempt stored are `ready`.
    pub job: Job,
    /// When `Cancel-After` ends it.
    pub deadline: Option<Timestamp>,
    /// Rows that it holds in the engine.
    pub rows: u32,
    /// Its work in row evaluations of the native size.
    pub work: u64,
    /// It was claimed to run with no company, because the process died under it before.
    pub alone: bool,
}

/// How much may be claimed at once.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Rows that are free. A job counts as at most `cap` of them.
    pub rows: u32,
    /// The most rows that one job is counted as.
    pub cap: u32,
    /// Jobs claimed at least, if as many wait, whatever their rows.
    pub at_least: u32,
    /// Whether nothing runs, so that a job that must be alone may start.
    pub idle: bool,
}

/// The end of a job.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// `succeeded`, `failed` or `canceled`.
    pub status: Status,
    /// For `failed`, and for `canceled` by a deadline.
    pub error: Option<JobError>,
    /// What it cost.
    pub usage: Usage,
    /// How far it came.
    pub progress: Progress,
}

/// One finished picture or file, whose blob is already durable.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its id, drawn at insert.
    pub id: Uuid,
    /// Bytes.
    pub size_bytes: u64,
    /// Hexadecimal.
    pub sha256: String,
}

/// Which jobs to list, newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those of this owner; `None`: everybody's.
    pub owner: Option<Owner>,
    /// Only these.
    pub status: Option<Status>,
    /// Only these.
    pub kind: Option<Kind>,
    /// Only those whose metadata has all of these.
    pub metadata: Vec<(String, String)>,
    /// 1..=200
    pub limit: u32,
    /// Start after this job.
    pub after: Option<Uuid>,
}

/// A durable queue of jobs.
#[async_trait]
pub trait Store: hooks::Hooks + keys::Keys + Send + Sync {
    /// Stores a job, unless there is no room for it.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::FullForOwner`], [`StoreError::Spent`].
    async fn insert(&self, new: &NewJob, room: Allowance) -> Result<Job>;

    /// The job that an `Idempotency-Key` of this owner made in the last 24 hours, and the fingerprint of what it asked for.
    async fn repeated(&self, owner: &Owner, name: &str) -> Result<Option<(Uuid, [u8; 32])>>;

    /// Whose a job, a picture or a file is, or was before it was erased; `None` where there never was such a thing.
    async fn owner(&self, id: Uuid) -> Result<Option<Owner>>;

    /// Whether a job of this owner names this blob, `sha256/...`, as its input.
    async fn owns_input(&self, owner: &Owner, blob: &str) -> Result<bool>;

    /// The job, with its `queue_position`.
    async fn job(&self, id: Uuid) -> Result<Found<Job>>;

    /// A page of jobs.
    async fn list(&self, filter: &Filter) -> Result<Vec<Job>>;

    /// Claims queued jobs that fit, in one transaction: of the owner with the smallest share; within an owner highest aged
    /// priority first, then oldest. A priority gains one unit for each 30 s of waiting.
    ///
    /// Jobs under which the process died before (`attempt >= 2`) are claimed one at a time into an idle engine, fewest lone
    /// attempts first, when no other job waits or none of them ran for 30 s; while one runs, or should run next, nothing
    /// else is claimed.
    async fn claim(&self, room: Room, shares: &Shares) -> Result<Vec<Claim>>;

    /// The jobs that wait, as they will be claimed. At most `limit` of each owner.
    async fn waiting(&self, limit: u32) -> Result<Queue<Uuid>>;

    /// Notes what computes the job, once that is known.
    async fn engine(&self, id: Uuid, attempt: u32, info: &EngineInfo) -> Result<()>;

    /// Marks a picture as ready; `None` when that attempt is no longer the running one.
    async fn image(&self, job: Uuid, attempt: u32, stored: &Stored) -> Result<Option<Image>>;

    /// Marks a file as ready; `None` when that attempt is no longer the running one.
    async fn file(&self, job: Uuid, attempt: u32, stored: &Stored) -> Result<Option<File>>;

    /// Ends the job if that attempt is still the running one: one compare-and-set. `None` when it is not.
    async fn finish(&self, id: Uuid, attempt: u32, outcome: &Outcome) -> Result<Option<Job>>;

    /// Puts a running job back into the queue; the attempt does not count (drain).
    async fn give_back(&self, id: Uuid, attempt: u32) -> Result<()>;

    /// Cancels the job if it has not ended; answers it as it is then, and whether this call ended it.
    async fn cancel(&self, id: Uuid, error: Option<JobError>, usage: Option<Usage>) -> Result<Found<(Job, bool)>>;

    /// Jobs not yet ended whose deadline is past.
    async fn overdue(&self, now: Timestamp) -> Result<Vec<Uuid>>;

    /// The next deadline of a job that has not ended.
    async fn next_deadline(&self) -> Result<Option<Timestamp>>;

    /// Erases the rows of a job with its pictures and files, leaving marks for 410. [`sweep::erase`] also deletes the bytes.
    async fn erase(&self, id: Uuid) -> Result<Found<()>>;

    /// The ids of jobs that ended before that time, oldest first.
    async fn ended_before(&self, time: Timestamp, limit: u32) -> Result<Vec<Uuid>>;

    /// Drops the marks of what was erased before that time; it answers 404 from then on.
    async fn forget(&self, before: Timestamp) -> Result<u64>;

    /// The picture's row, with its blob key being its id.
    async fn find_image(&self, id: Uuid) -> Result<Found<Image>>;

    /// The file's row.
    async fn find_file(&self, id: Uuid) -> Result<Found<File>>;

    /// Puts every running job back into the queue after an unclean end and fails those whose process died three times
    /// while they ran alone; answers (requeued, failed). A clean end leaves none running.
    async fn recover(&self) -> Result<(u64, u64)>;

    /// Queued jobs by model.
    async fn depth(&self) -> Result<Vec<(String, u64)>>;

    /// Whether the database answers and can be written to.
    async fn ping(&self) -> Result<()>;

    /// Whether any row names this blob; the sweeper asks before it deletes.
    async fn names_blob(&self, key: &str) -> Result<bool>;
}

/// The bytes of a blob together with what clients need to cache them.
#[derive(Clone, Debug)]
pub struct Blob {
    /// The bytes.
    pub bytes: Bytes,
    /// Hexadecimal.
    pub sha256: String,
}
