use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    super::{
        Result,
        hooks::{Delivery, Hooks},
    },
    SqliteStore,
    rows::{time, word},
};

#[derive(FromRow)]
struct DeliveryRow {
    id: String,
    job: String,
    owner: Option<String>,
    url: String,
    event: String,
    attempt: u32,
    created_at: i64,
}

impl DeliveryRow {
    fn delivery(self) -> Result<Delivery> {
        Ok(Delivery {
            id: word(&self.id)?,
            job: word(&self.job)?,
            owner: self.owner.map(Into::into),
            url: self.url,
            event: self.event,
            attempt: self.attempt,
            created_at: time(self.created_at)?,
        })
    }
}

#[async_trait]
impl Hooks for SqliteStore {
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Delivery>> {
        let sql = "SELECT d.id, d.job, j.owner, j.webhook ->> '$.url' AS url, d.event, d.attempt, d.created_at \
                   FROM deliveries AS d JOIN jobs AS j ON j.id = d.job WHERE d.due <= ? ORDER BY d.due LIMIT ?";
        let rows: Vec<DeliveryRow> =
            sqlx::query_as(sql).bind(now.as_microsecond()).bind(limit).fetch_all(&self.read).await?;
        rows.into_iter().map(DeliveryRow::delivery).collect()
    }

    async fn settled(&self, id: Uuid) -> Result<()> {
        sqlx::query("DELETE FROM deliveries WHERE id = ?").bind(id.simple().to_string()).execute(&self.write).await?;
        Ok(())
    }

    async fn again(&self, id: Uuid, due: Timestamp) -> Result<()> {
        let sql = "UPDATE deliveries SET attempt = attempt + 1, due = ? WHERE id = ?";
        sqlx::query(sql).bind(due.as_microsecond()).bind(id.simple().to_string()).execute(&self.write).await?;
        Ok(())
    }
}
