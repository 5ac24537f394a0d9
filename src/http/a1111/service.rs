//! What AUTOMATIC1111's clients ask of the server itself.

use std::{fs, sync::Arc};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::pictures;
use crate::{
    app::App,
    error::Fault,
    http::{
        body,
        error::{Problem, Result},
    },
};

/// Memory, in bytes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SdapiMemory)]
pub struct Memory {
    /// `free`, `used` by this process, `total`.
    #[schema(value_type = Object)]
    ram: Value,
    /// `error`: what devices have is not told.
    #[schema(value_type = Object)]
    cuda: Value,
}

/// A picture to be described.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = SdapiInterrogateRequest)]
pub struct Asked {
    /// In base64 or as a data URL.
    image: String,
    /// The name of the model there.
    model: String,
}

/// See the memory
#[utoipa::path(get, path = "/sdapi/v1/memory", security(("key" = ["read"])), tag = "a1111", responses((status = 200, body = Memory)))]
pub async fn memory() -> Json<Memory> {
    let total = kilobytes("/proc/meminfo", "MemTotal:") * 1024;
    let used = kilobytes("/proc/self/status", "VmRSS:") * 1024;
    let ram = json!({ "free": total.saturating_sub(used), "used": used, "total": total });
    Json(Memory { ram, cuda: json!({ "error": "not told" }) })
}

/// A number of a file of the system; 0 where it does not say.
fn kilobytes(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Describe a picture
///
/// There is no model here that does; the picture is looked at and refused.
#[utoipa::path(post, path = "/sdapi/v1/interrogate", security(("key" = ["read"])), tag = "a1111", request_body = Asked,
    responses((status = 422, description = "No model here describes pictures", body = super::errors::Document)))]
pub async fn interrogate(State(app): State<Arc<App>>, body::Json(document): body::Json) -> Result<Json<Value>> {
    let asked: Asked = super::typed(document)?;
    drop(pictures::bytes(&app, "/image", &asked.image).await?);
    let known = format!("is `{}`, and no model here describes pictures", asked.model);
    Err(Problem::invalid(vec![Fault::new("/model", known)]))
}

/// A handler that has nothing to do and says so, under a path.
macro_rules! done {
    ($name:ident, $path:literal, $title:literal, $about:literal) => {
        #[doc = $title]
        #[doc = ""]
        #[doc = $about]
        #[utoipa::path(post, path = $path, security(("key" = ["read"])), tag = "a1111", responses((status = 200, description = "null")))]
        pub async fn $name() -> Json<Value> {
            Json(Value::Null)
        }
    };
}

done!(refresh, "/sdapi/v1/refresh-checkpoints", "Look for models", "Models are found when the server starts.");
done!(unload, "/sdapi/v1/unload-checkpoint", "Unload the model", "Models are shared with others and stay.");
done!(reload, "/sdapi/v1/reload-checkpoint", "Load the model again", "Models are loaded when the server starts.");
