//! Reading a request's body: its type, its size, the time it takes, and its JSON.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::{task::spawn_blocking, time::timeout};

use crate::{
    app::App,
    error::Code,
    http::{
        error::{Problem, Result},
        json,
    },
};

/// How many times the limit is read and thrown away, so that a client that is still sending can hear that it is too much.
const PATIENCE: usize = 4;

/// Bytes that are parsed where they arrive; more would hold up the other requests of the thread.
const SMALL: usize = 1 << 18;

/// A JSON body that [`json::parse`] has nothing to say against.
#[derive(Debug)]
pub struct Json(pub Value);

impl FromRequest<Arc<App>> for Json {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self> {
        expect_json(request.headers(), "application/json")?;
        let bytes = bytes(request, app).await?;
        match bytes.len() {
            0..=SMALL => json::parse(&bytes).map(Self),
            _ => spawn_blocking(move || json::parse(&bytes)).await.map_err(Problem::internal)?.map(Self),
        }
    }
}

/// The body, within its limits of size and time.
///
/// # Errors
/// Too much, too slow, or broken off.
pub async fn bytes(request: Request, app: &App) -> Result<Bytes> {
    let (parts, body) = request.into_parts();
    let limit = app.config.limits.body_bytes;
    if parts.headers.contains_key(header::EXPECT) && declared(&parts.headers).is_some_and(|bytes| bytes > limit) {
        return Err(too_large(limit));
    }
    let time = Duration::from_secs(app.config.http.request_timeout_s);
    Ok(timeout(time, read(body, limit)).await.map_err(|_| Problem::slow())??.into())
}

/// `application/json` or `application/*+json`, with any parameters, in any case; `wanted` is what to tell others.
///
/// # Errors
/// 415 where it is neither.
pub fn expect_json(headers: &HeaderMap, wanted: &str) -> Result<()> {
    let given = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let essence = given.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let kind = essence.strip_prefix("application/");
    if kind.is_some_and(|kind| kind == "json" || kind.ends_with("+json")) {
        return Ok(());
    }
    let detail = match given {
        Some(given) => format!("`{given}` is not {wanted}"),
        None => format!("there is no content type; {wanted} is read here"),
    };
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}

fn declared(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn read(body: Body, limit: usize) -> Result<Vec<u8>> {
    let (mut bytes, mut total) = (Vec::new(), 0_usize);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| Problem::new(Code::InvalidRequest, format!("the body broke off: {error}")))?;
        total += chunk.len();
        if total <= limit {
            bytes.extend_from_slice(&chunk);
        } else if total <= limit.saturating_mul(PATIENCE) {
            bytes = Vec::new();
        } else {
            break;
        }
    }
    if total > limit { Err(too_large(limit)) } else { Ok(bytes) }
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("the body is larger than limits.body_bytes, {limit}");
    Problem::new(Code::BodyTooLarge, detail).with(header::CONNECTION, "close")
}
