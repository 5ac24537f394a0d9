//! Which queued jobs run next.
//!
//! A job's standing is its priority plus one for each 30 s since it was created, so nothing waits for ever behind newer
//! jobs of a higher priority. All jobs age alike; the order is therefore fixed at insert, by `due`.
//!
//! A job that was claimed twice and never ended (`attempt >= 2`) is a *suspect*: the process died under it twice, though
//! perhaps through a neighbour. It runs only alone, so that the next crash says who it was.

use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{
    super::{
        Claim, Result, Room,
        fair::{Queue, Shares, Waiting, pick},
    },
    SqliteStore,
    rows::{JobRow, Results, now, word},
};
use crate::failpoint;

/// Microseconds of waiting that weigh as much as one unit of priority.
pub const AGING_US: i64 = 30_000_000;

/// Microseconds that suspects let others go first: since they were queued, and since one of them ran.
const PATIENCE_US: i64 = 30_000_000;

/// Claims what fits.
pub async fn claim(store: &SqliteStore, room: Room, shares: &Shares) -> Result<Vec<Claim>> {
    let mut tx = store.begin().await?;
    let (ids, alone) = match choose(&mut tx, room, shares).await? {
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

async fn choose(tx: &mut SqliteConnection, room: Room, shares: &Shares) -> Result<Choice> {
    if lone_runs(tx).await? {
        return Ok(Choice::Together(Vec::new()));
    }
    let innocents = innocents(tx, room, shares).await?;
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

/// The first jobs in order whose rows fit.
async fn innocents(tx: &mut SqliteConnection, room: Room, shares: &Shares) -> Result<Vec<String>> {
    let most = room.rows.saturating_add(room.at_least);
    let mut queue = queue(tx, most).await?;
    Ok(pick(&mut queue, room, &mut shares.clone()).into_iter().map(|(_, job)| job.id).collect())
}

/// The first jobs of each owner, owners by their first.
async fn queue(db: &mut SqliteConnection, most: u32) -> Result<Queue<String>> {
    let sql =
        "SELECT owner FROM jobs WHERE status = 'queued' AND attempt < 2 GROUP BY owner ORDER BY min(due), min(id)";
    let owners: Vec<Option<String>> = sqlx::query_scalar(sql).fetch_all(&mut *db).await?;
    let mut queue = Queue::new();
    for owner in owners {
        let sql = "SELECT id, rows, work FROM jobs WHERE status = 'queued' AND attempt < 2 AND owner IS ? \
                   ORDER BY due, id LIMIT ?";
        let jobs: Vec<(String, u32, i64)> = sqlx::query_as(sql).bind(&owner).bind(most).fetch_all(&mut *db).await?;
        let waiting = |(id, rows, work): (String, u32, i64)| Waiting { id, rows, work: work.unsigned_abs() };
        queue.push((owner.map(Into::into), jobs.into_iter().map(waiting).collect()));
    }
    Ok(queue)
}

/// The jobs that wait, as they will be claimed.
pub async fn waiting(db: &mut SqliteConnection, most: u32) -> Result<Queue<Uuid>> {
    let mut found = Queue::new();
    for (owner, jobs) in queue(db, most).await? {
        let named = jobs.into_iter().map(|Waiting { id, rows, work }| Ok(Waiting { id: word(&id)?, rows, work }));
        found.push((owner, named.collect::<Result<_>>()?));
    }
    Ok(found)
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
