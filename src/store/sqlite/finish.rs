//! What a running job leaves behind, and the ends it may come to. Each is one compare-and-set: an attempt that is no longer
//! the running one (canceled, erased, claimed again) changes nothing.

use sqlx::{FromRow, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use super::{
    super::{Found, Outcome, Result, Stored},
    SqliteStore, read,
    rows::{ResultRow, find, int, key, now},
};
use crate::{
    failpoint,
    job::{EngineInfo, File, Image, Job, JobError, Usage},
};

/// Notes what computes the job.
pub async fn engine(store: &SqliteStore, id: Uuid, attempt: u32, info: &EngineInfo) -> Result<()> {
    let sql = "UPDATE jobs SET engine = ? WHERE id = ? AND status = 'running' AND attempt = ?";
    let info = serde_json::to_string(info)?;
    sqlx::query(sql).bind(info).bind(key(id)).bind(attempt).execute(&store.write).await?;
    Ok(())
}

/// Marks a picture as ready.
pub async fn image(store: &SqliteStore, job: Uuid, attempt: u32, stored: &Stored) -> Result<Option<Image>> {
    let sql = "UPDATE images SET state = 'ready', size_bytes = ?, sha256 = ? WHERE id = ? AND job = ? AND EXISTS \
               (SELECT 1 FROM jobs WHERE id = images.job AND status = 'running' AND attempt = ?) RETURNING *";
    ready(store, sql, (job, attempt), stored).await?.map(ResultRow::image).transpose()
}

/// Marks a file as ready.
pub async fn file(store: &SqliteStore, job: Uuid, attempt: u32, stored: &Stored) -> Result<Option<File>> {
    let sql = "UPDATE files SET state = 'ready', size_bytes = ?, sha256 = ? WHERE id = ? AND job = ? AND EXISTS \
               (SELECT 1 FROM jobs WHERE id = files.job AND status = 'running' AND attempt = ?) RETURNING *";
    ready(store, sql, (job, attempt), stored).await?.map(ResultRow::file).transpose()
}

async fn ready<T>(store: &SqliteStore, sql: &'static str, run: (Uuid, u32), stored: &Stored) -> Result<Option<T>>
where
    T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
{
    let mut tx = store.begin().await?;
    let row = sqlx::query_as(sql)
        .bind(int(stored.size_bytes))
        .bind(&stored.sha256)
        .bind(key(stored.id))
        .bind(key(run.0))
        .bind(run.1)
        .fetch_optional(&mut *tx)
        .await?;
    failpoint::hit("before_commit");
    tx.commit().await?;
    Ok(row)
}

/// Ends the job.
pub async fn finish(store: &SqliteStore, id: Uuid, attempt: u32, outcome: &Outcome) -> Result<Option<Job>> {
    let mut tx = store.begin().await?;
    let ended = end(&mut tx, id, attempt, outcome).await?;
    let job = if ended { find(&mut tx, id).await? } else { None };
    failpoint::hit("before_commit");
    tx.commit().await?;
    Ok(job)
}

async fn end(tx: &mut SqliteConnection, id: Uuid, attempt: u32, outcome: &Outcome) -> Result<bool> {
    let sql = "UPDATE jobs SET status = ?, finished_at = ?, error = ?, usage = ?, evaluations = ?, evaluations_of = ? \
               WHERE id = ? AND status = 'running' AND attempt = ?";
    let error = outcome.error.as_ref().map(serde_json::to_string).transpose()?;
    let done = sqlx::query(sql)
        .bind(outcome.status.name())
        .bind(now())
        .bind(error)
        .bind(serde_json::to_string(&outcome.usage)?)
        .bind(int(outcome.progress.evaluations))
        .bind(outcome.progress.of.map(int))
        .bind(key(id))
        .bind(attempt)
        .execute(tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Cancels the job unless it has ended.
pub async fn cancel(
    store: &SqliteStore,
    id: Uuid,
    error: Option<JobError>,
    usage: Option<Usage>,
) -> Result<Found<(Job, bool)>> {
    let mut tx = store.begin().await?;
    let sql = "UPDATE jobs SET status = 'canceled', finished_at = ?1, error = ?2, usage = coalesce(?3, usage), \
               evaluations = coalesce(json_extract(?3, '$.evaluations'), evaluations) \
               WHERE id = ?4 AND status IN ('queued', 'running')";
    let error = error.as_ref().map(serde_json::to_string).transpose()?;
    let usage = usage.as_ref().map(serde_json::to_string).transpose()?;
    let done = sqlx::query(sql).bind(now()).bind(error).bind(usage).bind(key(id)).execute(&mut *tx).await?;
    let ended = done.rows_affected() == 1;
    let found = match find(&mut tx, id).await? {
        Some(job) => Found::Here((job, ended)),
        None => read::absent(&mut tx, id).await?,
    };
    tx.commit().await?;
    Ok(found)
}
