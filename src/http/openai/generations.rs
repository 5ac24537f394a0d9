//! `POST /v1/images/generations`: text to pictures.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde_json::Value;

use super::{answer::Answer, bodies::ImageGeneration, request::Wish, route::Route, waiting::answer};
use crate::{
    app::App,
    http::{body, caller::Caller, error::Result, events::ServerSentEvent, generations, submission::Asked},
};

/// Ask for pictures in OpenAI's words
///
/// Waits for the pictures; a client that goes away cancels them. All fields of a generation that OpenAI has no word for
/// (`seed`, `steps`, `sampler`, `guidance`, also as `guidance_scale`, `negative_prompt` ...) go beside its own, as the clients'
/// `extra_body` puts them; what nobody knows is ignored with a warning. Faults are answered with 400. With `stream` the answer
/// is server-sent events with an `ImagesEvent` as data, and a failure comes as data with an `error` member.
#[utoipa::path(post, path = "/v1/images/generations", security(("key" = ["generate"])), tag = "openai", request_body = ImageGeneration, responses(
    (status = 200, description = "The pictures", content((Answer = "application/json"), (ServerSentEvent = "text/event-stream")))))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body::Json(document): body::Json,
) -> Result<Response> {
    let Wish { native, manner, .. } = Wish::read(&app, Route::Generation, document)?;
    let asked = Asked { app: &app, caller: &caller, headers: &headers, route: "images/generations" };
    let placed = asked.place(native.into(), async |native: Value| generations::accept(&app, &caller, native).await);
    answer(&app, &headers, placed.await?, manner).await
}
