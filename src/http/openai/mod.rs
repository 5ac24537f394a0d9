//! OpenAI's dialect of the API (`/v1/images/...`), for clients that exist already.
//!
//! Nothing is decided here: a request becomes a native document, goes the way of native ones, and what comes back is told in
//! OpenAI's words. What they have no word for (`seed`, `sampler`, `negative_prompt` ...) goes through under its native name.

use std::sync::Arc;

use axum::middleware::map_response;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

pub mod answer;
pub mod bodies;
pub mod brackets;
pub mod edits;
pub mod extras;
pub mod faults;
pub mod fields;
pub mod form;
pub mod generations;
pub mod pictures;
pub mod request;
pub mod route;
pub mod stream;
pub mod variations;
pub mod waiting;

/// The routes, whose refusals speak OpenAI's words too.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(generations::create))
        .routes(routes!(edits::create))
        .routes(routes!(variations::create))
        .layer(map_response(faults::translated))
}
