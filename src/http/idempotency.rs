//! `Idempotency-Key`: a request that is sent again is answered with the job of the first, for 24 hours.

use axum::http::{HeaderMap, HeaderName};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    app::App,
    error::{Code, Fault},
    http::{
        caller::Caller,
        error::{Problem, Result},
        form::{Beside, Form},
    },
    job::Job,
    store::{Found, Once},
};

/// The draft of the IETF's HTTP API group.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Says that a job was there before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Characters of a key at most.
const LONGEST: usize = 255;

/// What a request asks for, told from what others ask for. The same wish has the same fingerprint however it is written.
pub trait Wish {
    /// SHA-256.
    fn fingerprint(&self) -> [u8; 32];
}

impl Wish for Value {
    fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.to_string()).into()
    }
}

impl Wish for Form {
    fn fingerprint(&self) -> [u8; 32] {
        let parts = match self {
            Self::Json(document) => return document.fingerprint(),
            Self::Parts(parts) => parts,
        };
        let texts = parts.texts.iter().map(|(name, text)| (name, text.as_bytes()));
        hashed(texts.chain(parts.files.iter().map(|(name, bytes)| (name, &bytes[..]))))
    }
}

impl Wish for Beside {
    fn fingerprint(&self) -> [u8; 32] {
        let (document, files) = (self.0.to_string(), self.1.iter().map(|(name, bytes)| (name, &bytes[..])));
        hashed(files.chain([(&String::new(), document.as_bytes())]))
    }
}

fn hashed<'a>(parts: impl Iterator<Item = (&'a String, &'a [u8])>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (name, bytes) in parts {
        // Lengths part what would run together.
        for part in [name.as_bytes(), bytes] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    hash.finalize().into()
}

/// The key in the headers, for a wish at a route.
///
/// # Errors
/// A key that is empty, long or not visible ASCII.
pub fn read(headers: &HeaderMap, route: &str, wish: &impl Wish) -> Result<Option<Once>> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let name = value.to_str().ok().filter(|name| (1..=LONGEST).contains(&name.len()));
    let name = name.ok_or_else(|| {
        let message = format!("must be 1 to {LONGEST} visible characters");
        Problem::invalid(vec![Fault::new("/headers/idempotency-key", message)])
    })?;
    let mut hash = Sha256::new_with_prefix(route);
    hash.update(wish.fingerprint());
    Ok(Some(Once { name: name.to_owned(), fingerprint: hash.finalize().into() }))
}

/// The job of an earlier request with this key.
///
/// # Errors
/// 422 where that was another wish, 410 where its job was erased.
pub async fn earlier(app: &App, caller: &Caller, once: &Once) -> Result<Option<Job>> {
    let Some((job, fingerprint)) = app.store.repeated(&caller.owner, &once.name).await? else { return Ok(None) };
    if fingerprint != once.fingerprint {
        let detail = "this Idempotency-Key came with another request before: use a new one for each wish";
        return Err(Problem::new(Code::IdempotencyConflict, detail));
    }
    match app.store.job(job).await? {
        Found::Here(job) => Ok(Some(app.shown(job))),
        Found::Gone | Found::Missing => Err(Problem::new(Code::Gone, "the job of this Idempotency-Key was erased")),
    }
}
