//! Browsers of other origins (the Fetch standard): which may use the service, and what they may send and see.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::config::Cors;

/// How long a browser remembers what it may.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Headers of answers that a page may read.
const EXPOSED: [&str; 13] = [
    "etag",
    "location",
    "preference-applied",
    "ratelimit-limit",
    "ratelimit-remaining",
    "ratelimit-reset",
    "retry-after",
    "retry-after-ms",
    "x-process-time",
    "x-request-id",
    "x-should-retry",
    "idempotency-replayed",
    "www-authenticate",
];

/// The layer for the origins of `[cors]`; `None` without any.
///
/// # Errors
/// What is no origin.
pub fn layer(config: &Cors) -> Result<Option<CorsLayer>, String> {
    let origins = match config.origins.as_slice() {
        [] => return Ok(None),
        [any] if any == "*" => AllowOrigin::any(),
        listed => AllowOrigin::list(listed.iter().map(|origin| parse(origin)).collect::<Result<Vec<_>, _>>()?),
    };
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        // What clients send is not foreseen, `x-stainless-*` of one of them alone is a dozen; a page gains nothing by it.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED.map(HeaderName::from_static))
        .max_age(REMEMBERED);
    Ok(Some(layer))
}

/// An origin as browsers write it: a scheme, a host, perhaps a port.
fn parse(origin: &str) -> Result<HeaderValue, String> {
    let fault = || format!("cors.origins: `{origin}` is no origin such as \"https://example.org\"");
    let url = reqwest::Url::parse(origin).map_err(|_| fault())?;
    let written = url.origin().ascii_serialization();
    if origin.contains('*') || written != origin.to_ascii_lowercase().trim_end_matches('/') {
        return Err(fault());
    }
    HeaderValue::from_str(&written).map_err(|_| fault())
}
