//! Files: what a job gives beside pictures, such as its final latents.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    app::App,
    http::{
        error::{Problem, Result},
        images::{bytes, matches, ready, text},
        jobs::parse_id,
    },
};

/// Get a file
#[utoipa::path(get, path = "/v1/files/{id}", security(("key" = ["read"])), tag = "pictures", params(("id" = Uuid, Path, description = "The file")), responses(
    (status = 200, description = "The file", body = Vec<u8>, content_type = "application/vnd.safetensors"),
    (status = 304, description = "The client has it already"),
))]
pub async fn show(State(app): State<Arc<App>>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response> {
    let file = Problem::unless_found(app.store.find_file(parse_id(&id, "file")?).await?, "file")?;
    let tag = format!("\"{}\"", ready(file.state, file.sha256.as_deref(), "file")?);
    let cache = HeaderValue::from_static("private, max-age=31536000, immutable");
    let known = [(header::ETAG, text(&tag)), (header::CACHE_CONTROL, cache)];
    if matches(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, known).into_response());
    }
    let bytes = bytes(&app, file.id, "file").await?;
    Ok((known, [(header::CONTENT_TYPE, text(&file.content_type))], Body::from(bytes)).into_response())
}
