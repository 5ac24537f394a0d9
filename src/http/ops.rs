//! The service itself: whether it lives, whether it is ready, how it does, and its own description.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{Query, State},
    http::header,
    response::IntoResponse,
};
use serde_json::Value;

use crate::{
    app::App,
    http::{
        api,
        error::{Problem, Result},
        examples,
    },
};

/// Is the process alive?
#[utoipa::path(get, path = "/livez", security(()), tag = "service", responses((status = 200, description = "It is", body = String)))]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// Is the service ready?
///
/// The default model is loaded, the store can be written to, and the service is not shutting down.
#[utoipa::path(get, path = "/readyz", security(()), tag = "service", responses((status = 200, description = "It is", body = String)))]
pub async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str> {
    if app.draining() {
        return Err(Problem::draining());
    }
    if !app.engine.ready() {
        return Err(Problem::unready("the model is not loaded yet"));
    }
    app.store.ping().await.map_err(|cause| {
        tracing::error!(%cause, "the store does not answer");
        Problem::unready("the store does not answer")
    })?;
    Ok("ok\n")
}

/// Metrics
///
/// In the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", security(("key" = ["read"])), tag = "service", responses((status = 200, description = "The metrics", body = String)))]
pub async fn metrics(State(app): State<Arc<App>>) -> Result<impl IntoResponse> {
    let depth = &app.metrics.queue_depth;
    app.catalog.iter().for_each(|card| depth.with_label_values(&[&*card.id]).set(0));
    for (model, jobs) in app.store.depth().await? {
        if app.catalog.get(Some(&model)).is_ok() {
            depth.with_label_values(&[model.as_str()]).set(jobs.try_into().unwrap_or(i64::MAX));
        }
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.text()))
}

/// The API's description, in JSON
///
/// With `examples=newest` paths have ids of the newest job and picture as examples, where no key is needed.
#[utoipa::path(get, path = "/openapi.json", security(()), tag = "service",
    params(("examples" = Option<String>, Query, description = "`newest`: with ids of what is there")),
    responses((status = 200, description = "OpenAPI 3.1", body = Value, content_type = "application/json")))]
pub async fn openapi_json(
    State(app): State<Arc<App>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>> {
    let api = serde_json::to_value(api()).expect("the description is JSON");
    match query.get("examples").map(String::as_str) {
        Some("newest") => Ok(Json(examples::fill(&app, api).await?)),
        _ => Ok(Json(api)),
    }
}

/// The API's description, in YAML
#[utoipa::path(get, path = "/openapi.yaml", security(()), tag = "service", responses((status = 200, description = "OpenAPI 3.1", body = String, content_type = "application/yaml")))]
pub async fn openapi_yaml() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/yaml")], api().to_yaml().expect("the description is YAML"))
}
