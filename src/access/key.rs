//! API keys and what they may ask for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Scopes;

/// An API key, without its secrets.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its jobs belong to this id, whatever its secrets are.
    pub id: Uuid,
    /// For people; unique among keys that are not revoked.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// How much of it.
    pub quota: Quota,
    /// When it was added.
    pub created_at: Timestamp,
    /// Since when it does not work.
    pub revoked_at: Option<Timestamp>,
}

/// How much a key may ask for; what is left out is as `[quota]` in the configuration says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// HTTP requests in a minute; 0: any number.
    pub requests_per_minute: Option<u32>,
    /// Evaluations times rows in a minute, in units of the native size; 0: any number.
    pub row_evaluations_per_minute: Option<u32>,
    /// The same in a day (UTC); 0: any number.
    pub row_evaluations_per_day: Option<u64>,
    /// Its jobs in the queue; 0: any number.
    pub queued_jobs: Option<u32>,
}

impl Key {
    /// Whose the jobs of this key are.
    pub fn owner(&self) -> String {
        format!("key:{}", self.id)
    }
}
