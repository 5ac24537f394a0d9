//! What happens to a job, as server-sent events, and the previews that they speak of.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response, Sse, sse},
};
use futures_util::{Stream, StreamExt, stream};
use uuid::Uuid;

use crate::{
    app::App,
    engine::events::{EventId, Next, Subscription},
    http::{
        error::{Problem, Result},
        jobs::parse_id,
    },
    store::Found,
};

/// Between comments that keep a silent connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Follow a job
///
/// Server-sent events: `queued`, `started`, `progress`, `preview`, `image`, and one of `succeeded`, `failed`, `canceled`,
/// after which the stream ends. `Last-Event-ID` continues where a broken stream ended; where that is no longer known, a
/// `snapshot` of the job comes first.
#[utoipa::path(get, path = "/v1/jobs/{id}/events", tag = "jobs",
    params(("id" = Uuid, Path, description = "The job"), ("last-event-id" = Option<String>, Header, description = "The last id seen")),
    responses((status = 200, description = "The events", body = String, content_type = "text/event-stream")))]
pub async fn stream(State(app): State<Arc<App>>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response> {
    let id = parse_id(&id, "job")?;
    let (_, subscription) = Problem::unless_found(app.listen(id, last(&headers)).await?, "job")?;
    let closing = app.closing.clone().cancelled_owned();
    let events = follow(app, id, subscription).take_until(Box::pin(closing));
    Ok(answer(events))
}

/// A stream of events that is neither kept nor held up on its way, with comments where it is silent.
pub fn answer(events: impl Stream<Item = Result<sse::Event, Infallible>> + Send + 'static) -> Response {
    let sse = Sse::new(events).keep_alive(sse::KeepAlive::new().interval(KEEP_ALIVE));
    let unbuffered = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (unbuffered, sse).into_response()
}

/// Get a preview
///
/// The latest preview of one picture, while the job runs.
#[utoipa::path(get, path = "/v1/jobs/{id}/previews/{index}", tag = "jobs",
    params(("id" = Uuid, Path, description = "The job"), ("index" = u32, Path, description = "The picture's index")),
    responses((status = 200, description = "The preview", body = Vec<u8>, content_type = "image/webp")))]
pub async fn preview(State(app): State<Arc<App>>, Path((id, index)): Path<(String, String)>) -> Result<Response> {
    let id = parse_id(&id, "job")?;
    Problem::unless_found(app.store.job(id).await?, "job")?;
    let latest = index.parse().ok().and_then(|index| app.engine.events().latest_preview(id, index));
    let bytes = latest.ok_or_else(|| Problem::not_found("preview of this picture now"))?;
    let headers = [(header::CONTENT_TYPE, "image/webp"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from(bytes)).into_response())
}

/// An id that does not read is one that is not known: the stream then starts with a snapshot.
fn last(headers: &HeaderMap) -> Option<EventId> {
    let given = headers.get("last-event-id")?.to_str().unwrap_or_default();
    (!given.is_empty()).then(|| given.parse().unwrap_or(EventId { attempt: u32::MAX, n: u64::MAX }))
}

fn follow(app: Arc<App>, id: Uuid, subscription: Subscription) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    stream::unfold((app, subscription), move |(app, mut subscription)| async move {
        let event = match subscription.next().await? {
            Next::Event(frame) => sse::Event::default().id(frame.id.to_string()).event(frame.name).data(&*frame.data),
            Next::Snapshot => snapshot(&app, id).await?,
        };
        Some((Ok(event), (app, subscription)))
    })
}

/// The job as it is now; `None`, which ends the stream, when it was erased or cannot be read.
async fn snapshot(app: &App, id: Uuid) -> Option<sse::Event> {
    match app.store.job(id).await {
        Ok(Found::Here(job)) => sse::Event::default().event("snapshot").json_data(app.with_progress(job)).ok(),
        Ok(_) => None,
        Err(cause) => {
            tracing::error!(%cause, "a job could not be read for its stream");
            None
        }
    }
}
