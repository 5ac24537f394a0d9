//! The store in SQLite: one writer connection, a pool of read-only ones, one process for each database.
//!
//! Write-ahead log with `synchronous = FULL`: what a call has answered survives the loss of power. Every change is one
//! transaction that begins `IMMEDIATE`, so that it never fails half way for want of the write lock.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{
    Sqlite, SqlitePool, Transaction,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use uuid::Uuid;

use super::{
    Allowance, Claim, Filter, Found, NewJob, Outcome, Result, Room, Store, Stored,
    fair::{Queue, Shares},
    lock::Lock,
};
use crate::job::{EngineInfo, File, Image, Job, JobError, Owner, Usage};

mod claim;
mod erase;
mod finish;
mod hooks;
mod insert;
mod keys;
mod quota;
mod read;
mod recover;
mod repeated;
mod rows;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Read-only connections of a database in a file.
const READERS: u32 = 4;

/// The queue in a SQLite database.
pub struct SqliteStore {
    write: SqlitePool,
    read: SqlitePool,
    _lock: Option<Lock>,
}

impl SqliteStore {
    /// Opens `sqlite://path` (relative to the working directory unless it begins with `/`) or `sqlite::memory:`, makes
    /// missing folders, takes the lock and brings the schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Locked`](super::StoreError::Locked) when another process serves this database; an address of another
    /// form; the file system; the database.
    pub async fn open(url: &str) -> Result<Self> {
        let store = match place(url)? {
            Some(path) => {
                let path = settled(&path)?;
                let lock = Lock::take(&path)?;
                Self::in_file(&path, Some(lock)).await?
            }
            None => Self::in_memory().await?,
        };
        MIGRATIONS.run(&store.write).await?;
        Ok(store)
    }

    /// Opens the database of a server that may run meanwhile, to change what is no job: keys.
    ///
    /// # Errors
    /// As [`SqliteStore::open`], but for the lock; a database in memory, which only its process has.
    pub async fn open_beside(url: &str) -> Result<Self> {
        let Some(path) = place(url)? else {
            let message = format!("store.database_url `{url}` is no file: there is nothing to open beside its server");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message).into());
        };
        let store = Self::in_file(&settled(&path)?, None).await?;
        MIGRATIONS.run(&store.write).await?;
        Ok(store)
    }

    async fn in_file(path: &Path, lock: Option<Lock>) -> Result<Self> {
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(10));
        let writer = options
            .clone()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        let write = single().connect_with(writer).await?;
        let read = SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options.read_only(true));
        Ok(Self { write, read, _lock: lock })
    }

    /// Here the only connection is the database, so it also reads and must never be closed.
    async fn in_memory() -> Result<Self> {
        let options = SqliteConnectOptions::new().in_memory(true).filename(":memory:").foreign_keys(true);
        let write = single().connect_with(options).await?;
        Ok(Self { read: write.clone(), write, _lock: None })
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }
}

fn single() -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(60))
}

/// The file that an address names; `None` for the memory.
fn place(url: &str) -> Result<Option<PathBuf>> {
    match url.strip_prefix("sqlite:") {
        Some(":memory:") => Ok(None),
        Some(rest) if !rest.trim_start_matches("//").is_empty() => {
            Ok(Some(PathBuf::from(rest.strip_prefix("//").unwrap_or(rest))))
        }
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("store.database_url `{url}`: expected sqlite://path or sqlite::memory:"),
        )
        .into()),
    }
}

/// The same file under one name whatever links lead to it, so that two processes meet at one lock.
fn settled(path: &Path) -> Result<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    match fs::canonicalize(path) {
        Ok(path) => Ok(path),
        Err(_) => Ok(fs::canonicalize(folder)?.join(path.file_name().unwrap_or_default())),
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn insert(&self, new: &NewJob, room: Allowance) -> Result<Job> {
        insert::insert(self, new, room).await
    }

    async fn repeated(&self, owner: &Owner, name: &str) -> Result<Option<(Uuid, [u8; 32])>> {
        repeated::find(&self.read, owner, name).await
    }

    async fn owner(&self, id: Uuid) -> Result<Option<Owner>> {
        read::owner(&self.read, id).await
    }

    async fn owns_input(&self, owner: &Owner, blob: &str) -> Result<bool> {
        read::owns_input(&self.read, owner, blob).await
    }

    async fn job(&self, id: Uuid) -> Result<Found<Job>> {
        read::job(&self.read, id).await
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<Job>> {
        read::list(&self.read, filter).await
    }

    async fn claim(&self, room: Room, shares: &Shares) -> Result<Vec<Claim>> {
        claim::claim(self, room, shares).await
    }

    async fn waiting(&self, limit: u32) -> Result<Queue<Uuid>> {
        claim::waiting(&mut *self.read.acquire().await?, limit).await
    }

    async fn engine(&self, id: Uuid, attempt: u32, info: &EngineInfo) -> Result<()> {
        finish::engine(self, id, attempt, info).await
    }

    async fn image(&self, job: Uuid, attempt: u32, stored: &Stored) -> Result<Option<Image>> {
        finish::image(self, job, attempt, stored).await
    }

    async fn file(&self, job: Uuid, attempt: u32, stored: &Stored) -> Result<Option<File>> {
        finish::file(self, job, attempt, stored).await
    }

    async fn finish(&self, id: Uuid, attempt: u32, outcome: &Outcome) -> Result<Option<Job>> {
        finish::finish(self, id, attempt, outcome).await
    }

    async fn give_back(&self, id: Uuid, attempt: u32) -> Result<()> {
        recover::give_back(self, id, attempt).await
    }

    async fn cancel(&self, id: Uuid, error: Option<JobError>, usage: Option<Usage>) -> Result<Found<(Job, bool)>> {
        finish::cancel(self, id, error, usage).await
    }

    async fn overdue(&self, now: Timestamp) -> Result<Vec<Uuid>> {
        read::overdue(&self.read, now).await
    }

    async fn next_deadline(&self) -> Result<Option<Timestamp>> {
        read::next_deadline(&self.read).await
    }

    async fn erase(&self, id: Uuid) -> Result<Found<()>> {
        erase::erase(self, id).await
    }

    async fn ended_before(&self, time: Timestamp, limit: u32) -> Result<Vec<Uuid>> {
        read::ended_before(&self.read, time, limit).await
    }

    async fn forget(&self, before: Timestamp) -> Result<u64> {
        erase::forget(self, before).await
    }

    async fn find_image(&self, id: Uuid) -> Result<Found<Image>> {
        read::image(&self.read, id).await
    }

    async fn find_file(&self, id: Uuid) -> Result<Found<File>> {
        read::file(&self.read, id).await
    }

    async fn recover(&self) -> Result<(u64, u64)> {
        recover::recover(self).await
    }

    async fn depth(&self) -> Result<Vec<(String, u64)>> {
        read::depth(&self.read).await
    }

    async fn ping(&self) -> Result<()> {
        Ok(self.begin().await?.rollback().await?)
    }

    async fn names_blob(&self, key: &str) -> Result<bool> {
        read::names_blob(&self.read, key).await
    }
}
