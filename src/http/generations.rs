//! `POST /v1/generations`: from a request to a stored job, and to the finished one for clients that wait.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde_json::Value;

use crate::{
    app::App,
    error::Fault,
    http::{
        body,
        caller::Caller,
        error::{Problem, Result},
        latents,
        request::GenerateRequest,
        submission::{Asked, Headers, Submitted},
        valid::{self, Valid, Wanted},
    },
    model::Card,
};

/// Ask for pictures
///
/// The job is stored before the answer. `Prefer: wait=N` waits up to N seconds (60 at most) and answers 200 with the
/// finished job; `Cancel-After: N` ends a job that has not finished by then.
#[utoipa::path(post, path = "/v1/generations", security(("key" = ["generate"])), tag = "generations", request_body = GenerateRequest,
    params(Headers), responses(Submitted))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body::Json(document): body::Json,
) -> Result<Response> {
    let asked = Asked { app: &app, caller: &caller, headers: &headers, route: "generations" };
    asked.answer(document, async |document| accept(&app, &caller, document).await).await
}

/// The valid generation in a document; noise that came along is stored as a blob by then.
///
/// # Errors
/// Every fault, or a model that nobody knows.
pub async fn accept(app: &App, caller: &Caller, document: Value) -> Result<Valid> {
    let (request, mut faults) = GenerateRequest::read(document).map_err(Problem::invalid)?;
    let card = app.catalog.get(request.model.as_deref()).map_err(Problem::model_not_found)?;
    let latents = noise((app, caller), card, &request, &mut faults).await?;
    let cards = |id: &str| app.catalog.get(Some(id)).cloned();
    let wanted = Wanted { limits: &app.config.limits, latents, faults };
    valid::generation(request, (card, &cards), wanted).map_err(Problem::invalid)
}

/// The name of the noise that came along, where it could be read and stored.
///
/// # Errors
/// What is ours to mend.
pub async fn noise(
    (app, caller): (&App, &Caller),
    card: &Card,
    request: &GenerateRequest,
    faults: &mut Vec<Fault>,
) -> Result<Option<Value>> {
    let Some(given) = &request.latents else { return Ok(None) };
    let stored = latents::store((app, caller), card, request, given).await?;
    Ok(stored.map_err(|fault| faults.push(fault)).ok())
}
