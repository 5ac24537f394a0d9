//! What surrounds every handler: the request's id, its span, its metrics, and the writing of problem documents.

use std::{any::Any, sync::Arc, time::Instant};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    app::App,
    error::Code,
    http::{audit::Deed, dialect::Dialect, error::Problem},
};

/// The header that carries a request's id both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of a client's own request id that are echoed at most.
const LONGEST_ID: usize = 128;

/// Routes that take jobs; their refusals are counted.
const SUBMISSIONS: [&str; 9] = [
    "/v1/generations",
    "/v1/edits",
    "/v1/inversions",
    "/v1/features",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/images/variations",
    "/sdapi/v1/txt2img",
    "/sdapi/v1/img2img",
];

/// The outermost layer. It alone touches the HTTP metrics and writes the documents of problems.
pub async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers());
    let (verb, method) = (request.method().clone(), method_label(request.method()));
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let instance = request.uri().path().to_owned();
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default(), method, route);
    let response = next.run(request).instrument(span.clone()).await;

    Deed { request: id.to_str().unwrap_or_default(), method: &verb, path: &instance }.note(&response);
    let problem = response.extensions().get::<Problem>().cloned();
    if let Some(problem) = problem.as_ref().filter(|_| method == "POST" && SUBMISSIONS.contains(&route.as_str())) {
        app.metrics.rejected_total.with_label_values(&[problem.code().name()]).inc();
    }
    let status = response.status();
    app.metrics.http_requests_total.with_label_values(&[method, &route, status.as_str()]).inc();
    let took = began.elapsed();
    app.metrics.http_request_duration_seconds.with_label_values(&[&route]).observe(took.as_secs_f64());
    span.in_scope(|| tracing::debug!(status = status.as_u16(), ms = took.as_secs_f64() * 1e3, "answered"));
    finish(response, problem, &instance, id)
}

/// A handler's panic becomes a problem; the hook of [`crate::telemetry`] has logged it already.
pub fn panicked(_: Box<dyn Any + Send>) -> Response {
    Problem::new(Code::Internal, "the cause is in the server's log, under this answer's x-request-id").into_response()
}

fn finish(mut response: Response, problem: Option<Problem>, instance: &str, id: HeaderValue) -> Response {
    if let Some(problem) = problem {
        let (kind, document) = Dialect::of(instance).write(&problem, instance);
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        *response.body_mut() = Body::from(document);
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The client's own id where it is sane, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sane = |value: &&HeaderValue| {
        (1..=LONGEST_ID).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers
        .get(REQUEST_ID)
        .filter(sane)
        .cloned()
        .unwrap_or_else(|| HeaderValue::from_str(&Uuid::now_v7().to_string()).expect("a UUID is visible ASCII"))
}

/// Methods come from clients, labels from a closed list.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
