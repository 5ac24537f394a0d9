//! Idempotency keys. One is noted in the transaction that stores its job, so that of requests at once only one makes a job.

use sqlx::{SqliteConnection, SqlitePool};
use uuid::Uuid;

use super::{
    super::{NewJob, Once, Result, StoreError},
    rows::{key, now, word},
};
use crate::job::Owner;

/// How long a key is remembered.
const MEMORY_US: i64 = 24 * 3600 * 1_000_000;

/// Notes the key of a new job.
///
/// # Errors
/// [`StoreError::Repeated`] where it is known.
pub async fn note(tx: &mut SqliteConnection, new: &NewJob, once: &Once) -> Result<()> {
    let (owner, now) = (new.job.owner.as_deref().unwrap_or_default(), now());
    sqlx::query("DELETE FROM repeated WHERE created_at < ?").bind(now - MEMORY_US).execute(&mut *tx).await?;
    let sql = "INSERT INTO repeated (owner, name, fingerprint, job, created_at) VALUES (?, ?, ?, ?, ?) \
               ON CONFLICT DO NOTHING";
    let noted = sqlx::query(sql)
        .bind(owner)
        .bind(&once.name)
        .bind(once.fingerprint.as_slice())
        .bind(key(new.job.id))
        .bind(now)
        .execute(tx)
        .await?;
    if noted.rows_affected() == 0 { Err(StoreError::Repeated) } else { Ok(()) }
}

/// The job of a key, and what it asked for.
pub async fn find(pool: &SqlitePool, owner: &Owner, name: &str) -> Result<Option<(Uuid, [u8; 32])>> {
    let sql = "SELECT job, fingerprint FROM repeated WHERE owner = ? AND name = ? AND created_at >= ?";
    let found: Option<(String, Vec<u8>)> = sqlx::query_as(sql)
        .bind(owner.as_deref().unwrap_or_default())
        .bind(name)
        .bind(now() - MEMORY_US)
        .fetch_optional(pool)
        .await?;
    found.map(|(job, fingerprint)| Ok((word(&job)?, fingerprint.try_into().unwrap_or([0; 32])))).transpose()
}
