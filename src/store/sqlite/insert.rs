//! A job enters the queue.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{
    super::{Allowance, NewJob, Result, StoreError},
    SqliteStore,
    claim::AGING_US,
    quota, repeated,
    rows::{find, int, key, name},
};
use crate::job::{File, Image, Job};

/// Stores a job with its pending pictures and files.
pub async fn insert(store: &SqliteStore, new: &NewJob, room: Allowance) -> Result<Job> {
    let mut tx = store.begin().await?;
    let queued: i64 = sqlx::query_scalar("SELECT coalesce(sum(queued), 0) FROM depth").fetch_one(&mut *tx).await?;
    if queued >= int(room.queued) {
        return Err(StoreError::Full);
    }
    if let Some(once) = &new.once {
        repeated::note(&mut tx, new, once).await?;
    }
    if let Some(owner) = &new.job.owner {
        quota::spend(&mut tx, owner, new.work, room).await?;
    }
    insert_job(&mut tx, new).await?;
    for picture in &new.job.images {
        insert_image(&mut tx, new.job.id, picture).await?;
    }
    for file in &new.job.files {
        insert_file(&mut tx, new.job.id, file).await?;
    }
    for blob in inputs(&new.job) {
        let sql = "INSERT INTO inputs (job, blob) VALUES (?, ?)";
        sqlx::query(sql).bind(key(new.job.id)).bind(blob).execute(&mut *tx).await?;
    }
    let job = find(&mut tx, new.job.id).await?.ok_or(sqlx::Error::RowNotFound)?;
    tx.commit().await?;
    Ok(job)
}

async fn insert_job(tx: &mut SqliteConnection, new: &NewJob) -> Result<()> {
    let job = &new.job;
    let created = job.created_at.as_microsecond();
    sqlx::query(
        "INSERT INTO jobs (id, kind, status, model, rows, priority, due, created_at, queued_at, deadline, evaluations_of, \
         request, metadata, warnings, owner, work, webhook) VALUES (?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(key(job.id))
    .bind(name(&job.kind)?)
    .bind(job.request.model())
    .bind(new.rows)
    .bind(job.request.priority())
    .bind(created.saturating_sub(i64::from(job.request.priority()) * AGING_US))
    .bind(created)
    .bind(created)
    .bind(new.deadline.map(Timestamp::as_microsecond))
    .bind(job.progress.of.map(int))
    .bind(serde_json::to_string(&job.request)?)
    .bind(serde_json::to_string(&job.metadata)?)
    .bind(serde_json::to_string(&job.warnings)?)
    .bind(job.owner.as_deref())
    .bind(int(new.work))
    .bind(new.webhook.as_ref().map(serde_json::to_string).transpose()?)
    .execute(tx)
    .await?;
    Ok(())
}

async fn insert_image(tx: &mut SqliteConnection, job: Uuid, image: &Image) -> Result<()> {
    sqlx::query(
        "INSERT INTO images (id, job, position, seed, state, width, height, content_type) \
         VALUES (?, ?, ?, ?, 'pending', ?, ?, ?)",
    )
    .bind(key(image.id))
    .bind(key(job))
    .bind(image.index)
    .bind(int(image.seed))
    .bind(image.width)
    .bind(image.height)
    .bind(&image.content_type)
    .execute(tx)
    .await?;
    Ok(())
}

async fn insert_file(tx: &mut SqliteConnection, job: Uuid, file: &File) -> Result<()> {
    sqlx::query(
        "INSERT INTO files (id, job, position, seed, kind, state, content_type) VALUES (?, ?, ?, ?, ?, 'pending', ?)",
    )
    .bind(key(file.id))
    .bind(key(job))
    .bind(file.index)
    .bind(int(file.seed))
    .bind(&file.kind)
    .bind(&file.content_type)
    .execute(tx)
    .await?;
    Ok(())
}

/// Keys of the blobs that a job's request names as `{"blob": "sha256:..."}`, each once.
fn inputs(job: &Job) -> BTreeSet<String> {
    job.request.inputs().into_iter().map(|name| name.replacen(':', "/", 1)).collect()
}
