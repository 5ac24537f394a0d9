//! The signature of Standard Webhooks: HMAC-SHA256 over `{id}.{timestamp}.{body}`.

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use uuid::Uuid;

use crate::job::Owner;

/// What begins a secret in writing.
const PREFIX: &str = "whsec_";

/// Signs for every owner with a secret of its own, so that none can speak for another.
#[derive(Clone)]
pub struct Signer(Vec<u8>);

impl Signer {
    /// From the secret that all others are made from.
    pub fn new(master: Vec<u8>) -> Self {
        Self(master)
    }

    /// What an owner's receivers check signatures with: `whsec_` and base64.
    pub fn secret(&self, owner: &Owner) -> String {
        format!("{PREFIX}{}", BASE64_STANDARD.encode(self.key(owner)))
    }

    /// The headers of a delivery.
    pub fn headers(&self, owner: &Owner, id: Uuid, now: Timestamp, body: &str) -> [(&'static str, String); 3] {
        let (id, time) = (format!("msg_{}", id.simple()), now.as_second());
        let mut mac = mac(&self.key(owner));
        mac.update(format!("{id}.{time}.{body}").as_bytes());
        let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        [("webhook-id", id), ("webhook-timestamp", time.to_string()), ("webhook-signature", signature)]
    }

    fn key(&self, owner: &Owner) -> Vec<u8> {
        let mut mac = mac(&self.0);
        mac.update(format!("webhooks of {}", owner.as_deref().unwrap_or_default()).as_bytes());
        mac.finalize().into_bytes().to_vec()
    }
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
}
