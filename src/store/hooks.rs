//! Deliveries of webhooks. They come into being by the database itself, in the transaction that changes a job's status.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Result;
use crate::job::Owner;

/// Where a job's news go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Webhook {
    /// `https://` or `http://`.
    pub url: String,
    /// Which news.
    pub events: Vec<HookEvent>,
}

/// News that a webhook can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HookEvent {
    /// It was claimed.
    Started,
    /// Every picture is stored.
    Succeeded,
    /// It ended without its pictures.
    Failed,
    /// Its client or its deadline ended it.
    Canceled,
}

impl HookEvent {
    /// What is told unless the request says otherwise: how it ended.
    pub const ENDS: [Self; 3] = [Self::Succeeded, Self::Failed, Self::Canceled];
}

/// News on their way.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The same in every attempt.
    pub id: Uuid,
    /// Of this job.
    pub job: Uuid,
    /// Whose job it is.
    pub owner: Owner,
    /// To there.
    pub url: String,
    /// What happened.
    pub event: String,
    /// Attempts before this one.
    pub attempt: u32,
    /// When it happened.
    pub created_at: Timestamp,
}

/// Where deliveries wait.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Those that are due, the oldest first.
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<Delivery>>;

    /// It was taken, or is given up.
    async fn settled(&self, id: Uuid) -> Result<()>;

    /// It was not taken and is due again then.
    async fn again(&self, id: Uuid, due: Timestamp) -> Result<()>;
}
