//! Which queued jobs run next.
//!
//! A job's standing is its priority plus one for each 30 s since it was created, so nothing waits for ever behind newer
//! jobs of a higher priority. All jobs age alike; the order is therefore fixed at insert, by `due`.
//!
//! A job that was claimed twice and never ended (`attempt >= 2`) is a *suspect*: the process died under it twice, though
//! perhaps through a neighbour. It runs only alone, so that the next crash says who it was.

use sqlx::SqliteConnection;

use super::{
    super::{Claim, Result, Room},
    SqliteStore,
    rows::{JobRow, Results, now},
};
use crate::failpoint;

/// Microseconds of waiting that weigh as much as one unit of priority.
pub const AGING_US: i64 = 30_000_000;

/// Microseconds that suspects let others go first: since they were queued, and since one of them ran.
const PATIENCE_US: i64 = 30_000_000;

/// Claims what fits.
pub async fn claim(store: &SqliteStore, room: Room) -> Result<Vec<Claim>> {
    let mut tx = store.begin().await?;
    let (ids, alone) = match choose(&mut tx, room).await? {
        Choice::Together(ids) => (ids, false),
        Choice::Alone(id) => (vec![id], true),
    };
    if ids.is_empty() {
        tx.rollback().await?;
        return Ok(Vec::new());
    }
    mark(&mut tx, &ids, alone).await?;
    let claims = read(&mut tx, &ids).await?;
    tx.commit().await?;
    failpoint::hit("after_claim");
    Ok(claims)
}

enum Choice {
    Together(Vec<String>),
    Alone(String),
}

async fn choose(tx: &mut SqliteConnection, room: Room) -> Result<Choice> {
    if lone_runs(tx).await? {
        return Ok(Choice::Together(Vec::new()));
    }
    let innocents = innocents(tx, room).await?;
    let Some(suspect) = suspect(tx).await? else { return Ok(Choice::Together(innocents)) };
    let due = suspect.impatient || !innocents_wait(tx).await?;
    Ok(match (due, room.idle) {
        (true, true) => Choice::Alone(suspect.id),
        // Claiming on would keep the engine busy for ever and the suspect waiting.
        (true, false) => Choice::Together(Vec::new()),
        (false, _) => Choice::Together(innocents),
    })
}

async fn lone_runs(tx: &mut SqliteConnection) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM jobs WHERE alone = 1 AND status = 'running')";
    Ok(sqlx::query_scalar(sql).fetch_one(tx).await?)
}

async fn innocents_wait(tx: &mut SqliteConnection) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM jobs WHERE status = 'queued' AND attempt < 2)";
    Ok(sqlx::query_scalar(sql).fetch_one(tx).await?)
}

/// The first jobs in order whose rows fit; a big one that does not fit is waited for, not passed over.
async fn innocents(tx: &mut SqliteConnection, room: Room) -> Result<Vec<String>> {
    let sql = "SELECT id, rows FROM jobs WHERE status = 'queued' AND attempt < 2 ORDER BY due, id LIMIT ?";
    let most = u64::from(room.rows) + u64::from(room.at_least);
    let waiting: Vec<(String, u32)> = sqlx::query_as(sql).bind(super::rows::int(most)).fetch_all(tx).await?;
    let (mut free, mut chosen) = (room.rows, Vec::new());
    for (id, rows) in waiting {
        let rows = rows.clamp(1, room.cap.max(1));
        if rows > free && chosen.len() >= room.at_least as usize {
            break;
        }
        free = free.saturating_sub(rows);
        chosen.push(id);
    }
    Ok(chosen)
}

struct Suspect {
    id: String,
    impatient: bool,
}

/// The suspect that the fewest lone attempts speak against.
async fn suspect(tx: &mut SqliteConnection) -> Result<Option<Suspect>> {
    let sql = "SELECT id, queued_at, (SELECT coalesce(max(started_at), 0) FROM jobs WHERE alone = 1) FROM jobs \
               WHERE status = 'queued' AND attempt >= 2 ORDER BY lone_attempts, due, id LIMIT 1";
    let found: Option<(String, i64, i64)> = sqlx::query_as(sql).fetch_optional(tx).await?;
    let since =
        |(id, queued, ran): (String, i64, i64)| Suspect { id, impatient: now() - queued.max(ran) > PATIENCE_US };
    Ok(found.map(since))
}

async fn mark(tx: &mut SqliteConnection, ids: &[String], alone: bool) -> Result<()> {
    let sql = "UPDATE jobs SET status = 'running', attempt = attempt + 1, started_at = ?, alone = ? \
               WHERE id IN (SELECT value FROM json_each(?))";
    sqlx::query(sql).bind(now()).bind(alone).bind(serde_json::to_string(ids)?).execute(tx).await?;
    Ok(())
}

async fn read(tx: &mut SqliteConnection, ids: &[String]) -> Result<Vec<Claim>> {
    let sql = "SELECT * FROM placed_jobs WHERE id IN (SELECT value FROM json_each(?)) ORDER BY due, id";
    let rows: Vec<JobRow> = sqlx::query_as(sql).bind(serde_json::to_string(ids)?).fetch_all(&mut *tx).await?;
    let mut results = Results::of(tx, ids).await?;
    let claimed = rows.into_iter().map(|row| {
        let (images, files) = results.take(&row.id);
        row.claim(images, files)
    });
    claimed.collect()
}
