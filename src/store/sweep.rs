//! The sweeper: blobs that no row names, and marks of jobs erased long ago.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Found, Result, Store, blobs::Blobs};

/// A blob may be this old before it needs a row: a request stores its inputs before it is inserted.
const BLOB_AGE: Duration = Duration::from_secs(3600);

/// How long what was erased answers 410.
const MARK_AGE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What one sweep removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Blobs that no row named.
    pub blobs: u64,
    /// Marks of erased jobs, pictures and files.
    pub marks: u64,
}

/// Sweeps every `every` until the task is aborted.
pub fn spawn(store: Arc<dyn Store>, blobs: Blobs, every: Duration) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut clock = tokio::time::interval(every.max(Duration::from_secs(1)));
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            match sweep(&*store, &blobs, BLOB_AGE).await {
                Ok(Swept { blobs: 0, marks: 0 }) => {}
                Ok(Swept { blobs, marks }) => tracing::info!(blobs, marks, "swept"),
                Err(error) => tracing::warn!(%error, "a sweep failed; the next one will try again"),
            }
        }
    })
}

/// Deletes blobs older than `age` that no row names, and old marks.
///
/// # Errors
/// The database, the file system.
pub async fn sweep(store: &dyn Store, blobs: &Blobs, age: Duration) -> Result<Swept> {
    let mut deleted = 0;
    for key in blobs.older_than(age).await? {
        deleted += u64::from(blobs.delete_if_nameless(&key, age, store).await?);
    }
    let marks = store.forget(Timestamp::now() - MARK_AGE).await?;
    Ok(Swept { blobs: deleted, marks })
}

/// Erases a job together with the bytes of its pictures and files. Blobs that cannot be deleted now go with the next sweep;
/// they answer 410 at once either way.
///
/// # Errors
/// The database.
pub async fn erase(store: &dyn Store, blobs: &Blobs, id: Uuid) -> Result<Found<()>> {
    let results: Vec<Uuid> = match store.job(id).await? {
        Found::Here(job) => {
            job.images.iter().map(|image| image.id).chain(job.files.iter().map(|file| file.id)).collect()
        }
        Found::Gone => return Ok(Found::Gone),
        Found::Missing => return Ok(Found::Missing),
    };
    let found = store.erase(id).await?;
    blobs.delete_all(results).await;
    Ok(found)
}
