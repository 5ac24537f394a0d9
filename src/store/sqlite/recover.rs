//! Running jobs go back into the queue: after the process died, or because it is about to end.

use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{
    super::Result,
    SqliteStore,
    rows::{int, key, now},
};
use crate::{error::Code, job::JobError};

/// Times that the process may die under a job that has no company.
const LONE_ATTEMPTS: u32 = 3;

/// Puts one back whose attempt shall not count.
pub async fn give_back(store: &SqliteStore, id: Uuid, attempt: u32) -> Result<()> {
    let sql = "UPDATE jobs SET status = 'queued', attempt = attempt - 1, alone = 0, started_at = NULL \
               WHERE id = ? AND status = 'running' AND attempt = ?";
    sqlx::query(sql).bind(key(id)).bind(attempt).execute(&store.write).await?;
    Ok(())
}

/// Puts all back after an unclean end, except those that are proven to be the cause.
pub async fn recover(store: &SqliteStore) -> Result<(u64, u64)> {
    let mut tx = store.begin().await?;
    let count = "UPDATE jobs SET lone_attempts = lone_attempts + 1 WHERE status = 'running' AND alone = 1";
    sqlx::query(count).execute(&mut *tx).await?;
    let failed = fail(&mut tx).await?;
    let requeue =
        "UPDATE jobs SET status = 'queued', queued_at = ?, alone = 0, started_at = NULL WHERE status = 'running'";
    let requeued = sqlx::query(requeue).bind(now()).execute(&mut *tx).await?.rows_affected();
    tx.commit().await?;
    Ok((requeued, failed))
}

async fn fail(tx: &mut SqliteConnection) -> Result<u64> {
    let error = JobError {
        code: Code::AttemptsExhausted,
        title: "Attempts exhausted".into(),
        detail: format!("The process died {LONE_ATTEMPTS} times while it ran nothing but this job."),
    };
    let sql =
        "UPDATE jobs SET status = 'failed', finished_at = ?, error = ? WHERE status = 'running' AND lone_attempts >= ?";
    let (error, most) = (serde_json::to_string(&error)?, int(LONE_ATTEMPTS.into()));
    Ok(sqlx::query(sql).bind(now()).bind(error).bind(most).execute(tx).await?.rows_affected())
}
