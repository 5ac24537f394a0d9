//! What a client wishes beside the request itself: `Prefer: wait=N` (RFC 7240) and `Cancel-After`.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use jiff::{SignedDuration, Timestamp};

use crate::{
    error::Fault,
    http::error::{Problem, Result},
};

/// The header that ends a job by itself.
pub const CANCEL_AFTER: HeaderName = HeaderName::from_static("cancel-after");

/// RFC 7240.
pub const PREFER: HeaderName = HeaderName::from_static("prefer");

/// RFC 7240.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The longest wait, in seconds.
const LONGEST_WAIT_S: u64 = 60;

/// The longest `Cancel-After`, in seconds: thirty days.
const LONGEST_LIFE_S: i64 = 30 * 24 * 3600;

/// The wishes of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// How long to wait for the end of the job.
    pub wait: Option<Duration>,
    /// When the job ends if it has not ended before.
    pub deadline: Option<Timestamp>,
}

impl Wishes {
    /// The wishes in the headers. A preference that does not read is no preference; a `Cancel-After` that does not is an error.
    ///
    /// # Errors
    /// `Cancel-After` is not a number of seconds.
    pub fn read(headers: &HeaderMap, now: Timestamp) -> Result<Self> {
        Ok(Self { wait: wait(headers), deadline: deadline(headers, now)? })
    }
}

fn wait(headers: &HeaderMap) -> Option<Duration> {
    let preferences =
        headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let mut pairs = preferences.filter_map(|preference| preference.split(';').next()?.split_once('='));
    let (_, seconds) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))?;
    let seconds: u64 = seconds.trim().trim_matches('"').parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST_WAIT_S)))
}

fn deadline(headers: &HeaderMap, now: Timestamp) -> Result<Option<Timestamp>> {
    let Some(value) = headers.get(CANCEL_AFTER) else { return Ok(None) };
    let seconds = value.to_str().ok().and_then(|text| text.trim().parse::<i64>().ok());
    match seconds.filter(|seconds| (1..=LONGEST_LIFE_S).contains(seconds)) {
        Some(seconds) => Ok(Some(now + SignedDuration::from_secs(seconds))),
        None => {
            let message = format!("must be a whole number of seconds, 1 to {LONGEST_LIFE_S}");
            Err(Problem::invalid(vec![Fault::new("/headers/cancel-after", message)]))
        }
    }
}
