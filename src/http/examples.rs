//! Examples that work when they are pressed: a picture to send along, and, on the page at `/docs`, ids of what is there.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{app::App, http::error::Result, store::Filter};

/// The red heart of twemoji (CC-BY-4.0), 64 by 64 pixels.
const HEART: &[u8] = include_bytes!("../../docs/images/heart.webp");

/// Jobs that are looked through for a file.
const LOOKED_AT: u32 = 50;

/// A picture as a data URL.
pub fn heart() -> String {
    format!("data:image/webp;base64,{}", BASE64_STANDARD.encode(HEART))
}

/// Puts ids of the newest things into the description, where everybody may see them.
///
/// # Errors
/// The store.
pub async fn fill(app: &App, mut api: Value) -> Result<Value> {
    let jobs = match app.door.guarded {
        true => Vec::new(),
        false => app.store.list(&Filter { limit: LOOKED_AT, ..Filter::default() }).await?,
    };
    let job = jobs.first().map(|job| job.id.to_string());
    let ready = |job: &&crate::job::Job| job.status.is_final();
    let image = jobs.iter().filter(ready).flat_map(|job| &job.images).next().map(|image| image.id.to_string());
    let file = jobs.iter().filter(ready).flat_map(|job| &job.files).next().map(|file| file.id.to_string());
    let model = Some(app.catalog.default().id.to_string());
    let code = Some("queue_full".to_owned());
    let known = [
        ("/v1/jobs/{id}", "id", job),
        ("/v1/images/{id}", "id", image),
        ("/v1/files/{id}", "id", file),
        ("/v1/models/{id}", "id", model),
        ("/problems/{code}", "code", code),
        ("/v1/jobs/{id}/previews/{index}", "index", Some("0".to_owned())),
    ];
    let Some(paths) = api["paths"].as_object_mut() else { return Ok(api) };
    for (path, item) in paths {
        for (prefix, name, example) in &known {
            let Some(example) = example.as_ref().filter(|_| path.starts_with(prefix)) else { continue };
            let operations = item.as_object_mut().into_iter().flat_map(|item| item.values_mut());
            let parameters = operations.filter_map(|operation| operation["parameters"].as_array_mut()).flatten();
            for parameter in parameters.filter(|parameter| parameter["name"] == *name && parameter["in"] == "path") {
                parameter["example"] = json!(example);
            }
        }
    }
    Ok(api)
}
