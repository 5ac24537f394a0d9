//! `POST /v1/generations`: from a request to a stored job, and to the finished one for clients that wait.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    app::App,
    error::Fault,
    http::{
        body,
        error::{Problem, Result},
        images::text,
        latents,
        request::GenerateRequest,
        submission::{Headers, Submitted},
        valid::{self, Valid, Wanted},
        wishes::{PREFERENCE_APPLIED, Wishes},
    },
    job::Job,
    model::Card,
};

/// Ask for pictures
///
/// The job is stored before the answer. `Prefer: wait=N` waits up to N seconds (60 at most) and answers 200 with the
/// finished job; `Cancel-After: N` ends a job that has not finished by then.
#[utoipa::path(post, path = "/v1/generations", tag = "generations", request_body = GenerateRequest,
    params(Headers), responses(Submitted))]
pub async fn create(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body::Json(document): body::Json,
) -> Result<Response> {
    submitted(&app, &headers, accept(&app, document)).await
}

/// The answer to a request for pictures: its job, stored, and the finished one for clients that wait.
///
/// # Errors
/// What the headers or the request have at fault; the store.
pub async fn submitted(
    app: &App,
    headers: &HeaderMap,
    accepted: impl Future<Output = Result<Valid>>,
) -> Result<Response> {
    if app.draining() {
        return Err(Problem::draining());
    }
    let wishes = Wishes::read(headers, Timestamp::now())?;
    let valid = accepted.await?;
    let job = app.submit(valid, wishes.deadline).await?;
    let ended = match wishes.wait {
        Some(wait) => app.wait(job.id, wait).await?,
        None => None,
    };
    Ok(answer(job, ended, wishes))
}

/// The valid generation in a document; noise that came along is stored as a blob by then.
///
/// # Errors
/// Every fault, or a model that nobody knows.
pub async fn accept(app: &App, document: Value) -> Result<Valid> {
    let (request, mut faults) = GenerateRequest::read(document).map_err(Problem::invalid)?;
    let card = app.catalog.get(request.model.as_deref()).map_err(Problem::model_not_found)?;
    let latents = noise(app, card, &request, &mut faults).await?;
    let cards = |id: &str| app.catalog.get(Some(id)).cloned();
    let wanted = Wanted { limits: &app.config.limits, latents, faults };
    valid::generation(request, (card, &cards), wanted).map_err(Problem::invalid)
}

/// The name of the noise that came along, where it could be read and stored.
///
/// # Errors
/// What is ours to mend.
pub async fn noise(
    app: &App,
    card: &Card,
    request: &GenerateRequest,
    faults: &mut Vec<Fault>,
) -> Result<Option<Value>> {
    let Some(given) = &request.latents else { return Ok(None) };
    let stored = latents::store(app, card, request, given).await?;
    Ok(stored.map_err(|fault| faults.push(fault)).ok())
}

fn answer(job: Job, ended: Option<Job>, wishes: Wishes) -> Response {
    let location = text(&format!("/v1/jobs/{}", job.id));
    let status = if ended.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = (status, [(header::LOCATION, location)], Json(ended.unwrap_or(job))).into_response();
    if let Some(wait) = wishes.wait {
        response.headers_mut().insert(PREFERENCE_APPLIED, text(&format!("wait={}", wait.as_secs())));
    }
    response
}
