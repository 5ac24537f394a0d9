//! Erased jobs leave only a mark, so that they and what was theirs answer 410.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{
    super::{Found, Result},
    SqliteStore, read,
    rows::{key, now},
};

/// Removes the job's rows and marks its id and those of its pictures and files.
pub async fn erase(store: &SqliteStore, id: Uuid) -> Result<Found<()>> {
    let mut tx = store.begin().await?;
    mark(&mut tx, id).await?;
    let done = sqlx::query("DELETE FROM jobs WHERE id = ?").bind(key(id)).execute(&mut *tx).await?;
    let found = match done.rows_affected() {
        0 => read::absent(&mut tx, id).await?,
        _ => Found::Here(()),
    };
    tx.commit().await?;
    Ok(found)
}

async fn mark(tx: &mut SqliteConnection, id: Uuid) -> Result<()> {
    let sql = "INSERT INTO erased (id, owner, erased_at) \
               SELECT r.id, j.owner, ?2 FROM jobs AS j JOIN (SELECT ?1 AS id UNION ALL \
               SELECT id FROM images WHERE job = ?1 UNION ALL SELECT id FROM files WHERE job = ?1) AS r WHERE j.id = ?1";
    sqlx::query(sql).bind(key(id)).bind(now()).execute(tx).await?;
    Ok(())
}

/// Drops the marks of what was erased before that time.
pub async fn forget(store: &SqliteStore, before: Timestamp) -> Result<u64> {
    let sql = "DELETE FROM erased WHERE erased_at < ?";
    Ok(sqlx::query(sql).bind(before.as_microsecond()).execute(&store.write).await?.rows_affected())
}
