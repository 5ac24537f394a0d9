//! API keys, and what else the service keeps for itself.

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::Result;
use crate::access::{Key, Sealed};

/// Where keys are kept. A change holds for the next request, whichever process made it.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Adds a key with its first secret; `false` where another of its name works already.
    async fn add_key(&self, key: &Key, secret: &Sealed) -> Result<bool>;

    /// The key and secret that belong to the id of a secret, revoked ones and old ones included.
    async fn find_key(&self, secret: Uuid) -> Result<Option<(Key, Sealed)>>;

    /// Every key with its secrets, oldest first.
    async fn keys(&self) -> Result<Vec<(Key, Vec<Sealed>)>>;

    /// Gives a key that works one more secret; the others work until `until` at most. `false` where there is none of that
    /// name.
    async fn rotate_key(&self, name: &str, secret: &Sealed, until: Timestamp) -> Result<bool>;

    /// Ends a key for good; `false` where none of that name works.
    async fn revoke_key(&self, name: &str) -> Result<bool>;

    /// What is kept under a name: `drawn` from now on, if nothing was.
    async fn keep(&self, name: &str, drawn: &[u8]) -> Result<Vec<u8>>;
}
