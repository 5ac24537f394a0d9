//! What is asked of the store without changing it.

use jiff::Timestamp;
use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection, SqlitePool, sqlite::SqliteRow};
use uuid::Uuid;

use super::{
    super::{Filter, Found, Result},
    rows::{JobRow, ResultRow, Results, find, key, name, time, word},
};
use crate::job::{File, Image, Job, Owner};

/// The job of that id.
pub async fn job(pool: &SqlitePool, id: Uuid) -> Result<Found<Job>> {
    let mut db = pool.acquire().await?;
    match find(&mut db, id).await? {
        Some(job) => Ok(Found::Here(job)),
        None => absent(&mut db, id).await,
    }
}

/// Why there is nothing under an id.
pub async fn absent<T>(db: &mut SqliteConnection, id: Uuid) -> Result<Found<T>> {
    let sql = "SELECT EXISTS (SELECT 1 FROM erased WHERE id = ?)";
    let erased: bool = sqlx::query_scalar(sql).bind(key(id)).fetch_one(db).await?;
    Ok(if erased { Found::Gone } else { Found::Missing })
}

/// A page of jobs, newest first.
pub async fn list(pool: &SqlitePool, filter: &Filter) -> Result<Vec<Job>> {
    let mut db = pool.acquire().await?;
    let rows: Vec<JobRow> = page(filter)?.build_query_as().fetch_all(&mut *db).await?;
    let ids: Vec<_> = rows.iter().map(|row| row.id.clone()).collect();
    let mut results = Results::of(&mut db, &ids).await?;
    let jobs = rows.into_iter().map(|row| {
        let (images, files) = results.take(&row.id);
        row.job(images, files)
    });
    jobs.collect()
}

fn page(filter: &Filter) -> Result<QueryBuilder<Sqlite>> {
    let mut sql = QueryBuilder::new("SELECT * FROM placed_jobs WHERE true");
    if let Some(owner) = &filter.owner {
        sql.push(" AND owner IS ").push_bind(owner.as_deref().map(str::to_owned));
    }
    if let Some(status) = filter.status {
        sql.push(" AND status = ").push_bind(status.name());
    }
    if let Some(kind) = filter.kind {
        sql.push(" AND kind = ").push_bind(name(&kind)?);
    }
    if let Some(after) = filter.after {
        sql.push(" AND id < ").push_bind(key(after));
    }
    for (field, value) in &filter.metadata {
        sql.push(" AND EXISTS (SELECT 1 FROM json_each(metadata) AS m WHERE m.key = ").push_bind(field.clone());
        sql.push(" AND m.value = ").push_bind(value.clone()).push(")");
    }
    sql.push(" ORDER BY id DESC LIMIT ").push_bind(filter.limit);
    Ok(sql)
}

/// Whose a job, a picture or a file is, or was.
pub async fn owner(pool: &SqlitePool, id: Uuid) -> Result<Option<Owner>> {
    let sql = "SELECT owner FROM jobs WHERE id = ?1 \
               UNION ALL SELECT j.owner FROM images AS i JOIN jobs AS j ON j.id = i.job WHERE i.id = ?1 \
               UNION ALL SELECT j.owner FROM files AS f JOIN jobs AS j ON j.id = f.job WHERE f.id = ?1 \
               UNION ALL SELECT owner FROM erased WHERE id = ?1 LIMIT 1";
    let found: Option<Option<String>> = sqlx::query_scalar(sql).bind(key(id)).fetch_optional(pool).await?;
    Ok(found.map(|owner| owner.map(Into::into)))
}

/// Whether a job of this owner names this blob.
pub async fn owns_input(pool: &SqlitePool, owner: &Owner, blob: &str) -> Result<bool> {
    let sql =
        "SELECT EXISTS (SELECT 1 FROM inputs AS i JOIN jobs AS j ON j.id = i.job WHERE i.blob = ? AND j.owner IS ?)";
    Ok(sqlx::query_scalar(sql).bind(blob).bind(owner.as_deref()).fetch_one(pool).await?)
}

/// The picture of that id.
pub async fn image(pool: &SqlitePool, id: Uuid) -> Result<Found<Image>> {
    one(pool, "SELECT * FROM images WHERE id = ?", id, ResultRow::image).await
}

/// The file of that id.
pub async fn file(pool: &SqlitePool, id: Uuid) -> Result<Found<File>> {
    one(pool, "SELECT * FROM files WHERE id = ?", id, ResultRow::file).await
}

async fn one<R, T>(pool: &SqlitePool, sql: &'static str, id: Uuid, read: fn(R) -> Result<T>) -> Result<Found<T>>
where
    R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
{
    let mut db = pool.acquire().await?;
    match sqlx::query_as(sql).bind(key(id)).fetch_optional(&mut *db).await? {
        Some(row) => Ok(Found::Here(read(row)?)),
        None => absent(&mut db, id).await,
    }
}

/// Jobs whose deadline is past.
pub async fn overdue(pool: &SqlitePool, now: Timestamp) -> Result<Vec<Uuid>> {
    let sql = "SELECT id FROM jobs WHERE deadline <= ? AND finished_at IS NULL ORDER BY deadline";
    let ids: Vec<String> = sqlx::query_scalar(sql).bind(now.as_microsecond()).fetch_all(pool).await?;
    ids.iter().map(|id| word(id)).collect()
}

/// Jobs that ended before a time.
pub async fn ended_before(pool: &SqlitePool, time: Timestamp, limit: u32) -> Result<Vec<Uuid>> {
    let sql = "SELECT id FROM jobs WHERE finished_at < ? ORDER BY finished_at LIMIT ?";
    let ids: Vec<String> = sqlx::query_scalar(sql).bind(time.as_microsecond()).bind(limit).fetch_all(pool).await?;
    ids.iter().map(|id| word(id)).collect()
}

/// The next deadline.
pub async fn next_deadline(pool: &SqlitePool) -> Result<Option<Timestamp>> {
    let sql = "SELECT min(deadline) FROM jobs WHERE deadline IS NOT NULL AND finished_at IS NULL";
    let next: Option<i64> = sqlx::query_scalar(sql).fetch_one(pool).await?;
    next.map(time).transpose()
}

/// Queued jobs by model.
pub async fn depth(pool: &SqlitePool) -> Result<Vec<(String, u64)>> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT model, queued FROM depth ORDER BY model").fetch_all(pool).await?;
    Ok(rows.into_iter().map(|(model, queued)| (model, queued.unsigned_abs())).collect())
}

/// Whether a picture, a file or a job's input has that key.
pub async fn names_blob(pool: &SqlitePool, key: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM images WHERE id = ?1) OR EXISTS (SELECT 1 FROM files WHERE id = ?1) \
               OR EXISTS (SELECT 1 FROM inputs WHERE blob = ?1)";
    Ok(sqlx::query_scalar(sql).bind(key).fetch_one(pool).await?)
}
