//! The API over HTTP: every route and every layer, in order.
//!
//! A handler parses, acts and answers; there is nothing between it and the store. Paths are written once, in the attribute
//! above the handler, and the API's description is collected from the same place.

use std::sync::Arc;

use axum::{Router, middleware::from_fn_with_state};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::{Modify, OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{app::App, http::error::Problem};

pub mod a1111;
pub mod accept;
pub mod address;
pub mod audit;
pub mod auth;
pub mod body;
pub mod caller;
pub mod catalog;
pub mod cors;
pub mod dialect;
pub mod edit_request;
pub mod edits;
pub mod error;
pub mod events;
pub mod examples;
pub mod features;
pub mod features_request;
pub mod files;
pub mod form;
pub mod generations;
pub mod idempotency;
pub mod images;
pub mod inversion_request;
pub mod inversions;
pub mod inverted;
pub mod jobs;
pub mod json;
pub mod latents;
pub mod layers;
pub mod openai;
pub mod openapi;
pub mod ops;
pub mod pictures;
pub mod problems;
pub mod quota;
pub mod reference;
pub mod request;
pub mod schema;
pub mod serve;
pub mod submission;
pub mod tls;
pub mod valid;
pub mod valid_edit;
pub mod webhook;
pub mod wishes;

/// Every route, as the API's description shows them.
fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(openapi::Frame::openapi())
        .routes(routes!(generations::create))
        .routes(routes!(edits::create))
        .routes(routes!(inversions::create))
        .routes(routes!(features::create))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::show, jobs::erase))
        .routes(routes!(jobs::cancel))
        .routes(routes!(events::stream))
        .routes(routes!(events::preview))
        .routes(routes!(events::all))
        .routes(routes!(images::show))
        .routes(routes!(files::show))
        .routes(routes!(catalog::models))
        .routes(routes!(catalog::model))
        .routes(routes!(catalog::samplers))
        .routes(routes!(catalog::wrappers))
        .routes(routes!(catalog::schedules))
        .routes(routes!(catalog::guidances))
        .routes(routes!(catalog::edit_methods))
        .routes(routes!(problems::show))
        .routes(routes!(ops::livez))
        .routes(routes!(ops::readyz))
        .routes(routes!(ops::metrics))
        .routes(routes!(ops::openapi_json))
        .routes(routes!(ops::openapi_yaml))
        .merge(openai::routes())
        .merge(a1111::routes())
}

/// The API's description.
pub fn api() -> utoipa::openapi::OpenApi {
    let mut api = routes().into_openapi();
    openapi::Fill.modify(&mut api);
    api
}

/// The whole service: routes, the page at `/docs`, and the layers around them, outermost last.
pub fn service(app: Arc<App>) -> Router {
    let (router, _) = routes().split_for_parts();
    let docs = SwaggerUi::new("/docs")
        .config(Config::new(["/openapi.json?examples=newest"]).try_it_out_enabled(true).persist_authorization(true));
    surround(router.merge(docs), app)
}

/// Routes with the fallbacks and layers that all of them share.
pub fn surround(router: Router<Arc<App>>, app: Arc<App>) -> Router {
    let cors = cors::layer(&app.config.cors).expect("`App::start` has checked it");
    let router = router
        .fallback(async || Problem::not_found("such path"))
        .method_not_allowed_fallback(async || Problem::method())
        .layer(from_fn_with_state((app.clone(), auth::Needs::of(&api())), auth::admit))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(from_fn_with_state(app.clone(), layers::observe));
    match cors {
        // Outermost: a browser must be able to read a refusal too.
        Some(cors) => router.layer(cors).with_state(app),
        None => router.with_state(app),
    }
}
