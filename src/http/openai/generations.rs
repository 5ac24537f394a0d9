//! `POST /v1/images/generations`: text to pictures.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde_json::Value;

use super::{
    answer::Answer,
    bodies::ImageGeneration,
    request::{Manner, Wish},
    route::Route,
    stream::Picture,
    waiting::answer,
};
use crate::{
    app::App,
    http::{body, error::Result, generations, valid::Valid},
};

/// Ask for pictures in OpenAI's words
///
/// Waits for the pictures; a client that goes away cancels them. All fields of a generation that OpenAI has no word for
/// (`seed`, `steps`, `sampler`, `guidance`, also as `guidance_scale`, `negative_prompt` ...) go beside its own, as the clients'
/// `extra_body` puts them; what nobody knows is ignored with a warning. Faults are answered with 400. With `stream` the answer
/// is server-sent events, and a failure comes as data with an `error` member.
#[utoipa::path(post, path = "/v1/images/generations", tag = "openai", request_body = ImageGeneration, responses(
    (status = 200, description = "The pictures", content((Answer = "application/json"), (Picture = "text/event-stream")))))]
pub async fn create(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body::Json(document): body::Json,
) -> Result<Response> {
    answer(&app, &headers, accept(&app, document)).await
}

async fn accept(app: &App, document: Value) -> Result<(Valid, Manner)> {
    let Wish { native, manner, .. } = Wish::read(app, Route::Generation, document)?;
    Ok((generations::accept(app, native.into()).await?, manner))
}
