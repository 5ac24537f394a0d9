//! Options: what is a global state there is a caller's own here.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Map, Value};

use super::settings::Settings;
use crate::{
    app::App,
    error::Fault,
    http::{
        body,
        caller::Caller,
        error::{Problem, Result},
    },
};

/// See the options
///
/// Those of the caller, as far as it set any.
#[utoipa::path(get, path = "/sdapi/v1/options", security(("key" = ["read"])), tag = "a1111", responses((status = 200, body = Object)))]
pub async fn show(State(app): State<Arc<App>>, caller: Caller) -> Json<Value> {
    Json(app.desk.settings(&caller.owner).shown(&app))
}

/// Set options
///
/// For the caller's own requests, until the server restarts: `sd_model_checkpoint` (a title, name or hash from
/// `/sdapi/v1/sd-models`), `CLIP_stop_at_last_layers`, `samples_format`, `jpeg_quality`.
#[utoipa::path(post, path = "/sdapi/v1/options", security(("key" = ["read"])), tag = "a1111",
    request_body(content = Object, example = json!({ "samples_format": "png" })),
    responses((status = 200, description = "null")))]
pub async fn set(State(app): State<Arc<App>>, caller: Caller, body::Json(document): body::Json) -> Result<Json<Value>> {
    let Value::Object(given) = document else {
        return Err(Problem::invalid(vec![Fault::new("", "the body must be a JSON object")]));
    };
    app.desk.set(&caller.owner, Settings::read(&app, &given).map_err(Problem::invalid)?);
    Ok(Json(Value::Null))
}

/// See the flags
///
/// The command line of the original has nothing to say here.
#[utoipa::path(get, path = "/sdapi/v1/cmd-flags", security(("key" = ["read"])), tag = "a1111", responses((status = 200, body = Object)))]
pub async fn flags() -> Json<Map<String, Value>> {
    Json(Map::from_iter([("api".to_owned(), true.into()), ("nowebui".to_owned(), true.into())]))
}
