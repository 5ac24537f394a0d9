//! What an owner has asked for already. Counted in the transaction that stores the job, so that two requests at once cannot
//! both find the last room.

use sqlx::SqliteConnection;

use super::{
    super::{Allowance, Result, StoreError},
    rows::{int, now},
};

const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// Counts the work of one more job.
///
/// # Errors
/// [`StoreError::FullForOwner`], [`StoreError::Spent`]; nothing is counted then.
pub async fn spend(tx: &mut SqliteConnection, owner: &str, work: u64, room: Allowance) -> Result<()> {
    if let Some(most) = room.own_queued {
        let sql = "SELECT count(*) FROM jobs WHERE owner = ? AND status = 'queued'";
        let queued: i64 = sqlx::query_scalar(sql).bind(owner).fetch_one(&mut *tx).await?;
        if queued >= i64::from(most) {
            return Err(StoreError::FullForOwner(most));
        }
    }
    let day = now().div_euclid(DAY_US);
    let sql = "INSERT INTO spent (owner, day, work) VALUES (?, ?, ?) \
               ON CONFLICT (owner, day) DO UPDATE SET work = work + excluded.work RETURNING work";
    let spent: i64 = sqlx::query_scalar(sql).bind(owner).bind(day).bind(int(work)).fetch_one(&mut *tx).await?;
    sqlx::query("DELETE FROM spent WHERE owner = ? AND day < ?").bind(owner).bind(day).execute(&mut *tx).await?;
    match room.own_work {
        // The transaction is rolled back.
        Some(allowed) if spent.unsigned_abs() > allowed => {
            Err(StoreError::Spent { spent: spent.unsigned_abs() - work, allowed })
        }
        _ => Ok(()),
    }
}
