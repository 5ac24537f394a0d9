//! The sweeper: jobs that ended long ago, blobs that no row names, and marks of jobs erased long ago.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Found, Result, Store, blobs::Blobs};
use crate::config;

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

/// Ended jobs that one sweep erases at most; the next takes more.
const MOST_ENDED: u32 = 1000;

/// Sweeps every `sweep_s` until the task is aborted, or as often as it takes to keep to `keep_s`.
pub fn spawn(store: Arc<dyn Store>, blobs: Blobs, config: &config::Store) -> JoinHandle<()> {
    let keep = (config.keep_s > 0).then(|| SignedDuration::from_secs(i64::try_from(config.keep_s).unwrap_or(i64::MAX)));
    let every = Duration::from_secs(if keep.is_some() { config.sweep_s.min(config.keep_s) } else { config.sweep_s });
    tokio::spawn(async move {
        let mut clock = tokio::time::interval(every.max(Duration::from_secs(1)));
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            if let Some(keep) = keep {
                match expire(&*store, &blobs, keep).await {
                    Ok(0) => {}
                    Ok(jobs) => tracing::info!(jobs, "erased, as store.keep_s says"),
                    Err(error) => tracing::warn!(%error, "old jobs were not erased; the next sweep will try again"),
                }
            }
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

/// Erases jobs that ended longer ago than `keep`, with their pictures and files; answers how many.
///
/// # Errors
/// The database.
pub async fn expire(store: &dyn Store, blobs: &Blobs, keep: SignedDuration) -> Result<u64> {
    let ended = store.ended_before(Timestamp::now() - keep, MOST_ENDED).await?;
    for id in &ended {
        erase(store, blobs, *id).await?;
    }
    Ok(ended.len() as u64)
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
