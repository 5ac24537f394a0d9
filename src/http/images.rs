//! Pictures: the bytes as they were made, or in the format that the client would rather have.

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::{
    app::App,
    error::{Code, Failure, Fault},
    http::{
        accept,
        error::{Problem, Result},
        jobs::parse_id,
    },
    job::{Format, Image, ImageState, Output},
    pixels,
};

/// A picture never changes, and is nobody's business but its client's.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// The formats that a picture can be given in.
const FORMATS: [Format; 3] = [Format::Png, Format::Webp, Format::Jpeg];

/// Pixels that a thumbnail may be wide.
const WIDTHS: [u32; 3] = [128, 256, 512];

/// Quality of pictures that are written anew in a lossy format.
const QUALITY: u8 = 90;

/// Get a picture
///
/// `Accept` chooses the format; where it leaves a choice, the picture comes as it was made. `width` gives a thumbnail instead,
/// a WebP at most that wide. Each form has its own `ETag`.
#[utoipa::path(get, path = "/v1/images/{id}", security(("key" = ["read"])), tag = "pictures", params(
    ("id" = Uuid, Path, description = "The picture"),
    ("width" = Option<u32>, Query, description = "128, 256 or 512: a thumbnail"),
), responses(
    (status = 200, description = "The picture", content((Vec<u8> = "image/png"), (Vec<u8> = "image/webp"), (Vec<u8> = "image/jpeg"))),
    (status = 304, description = "The client has it already"),
))]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response> {
    let image = Problem::unless_found(app.store.find_image(parse_id(&id, "picture")?).await?, "picture")?;
    let sha256 = ready(image.state, image.sha256.as_deref(), "picture")?;
    let width = query.get("width").map(|width| thumbnail_width(width)).transpose()?;
    let format = if width.is_some() { Format::Webp } else { negotiate(&headers, &image)? };
    let size = width.map(|width| format!("-{width}")).unwrap_or_default();
    let tag = format!("\"{sha256}-{}{size}\"", format.content_type().trim_start_matches("image/"));
    let known = [(header::ETAG, text(&tag)), (header::CACHE_CONTROL, CACHE), (header::VARY, text("accept"))];
    if matches(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, known).into_response());
    }
    let made = bytes(&app, image.id, "picture").await?;
    let made_as = format_of(&image.content_type)?;
    let bytes = match width {
        Some(width) => drawn(move || pixels::thumbnail(&made, made_as, width)).await?,
        None if format == made_as => made,
        None => {
            let output = Output { format, quality: QUALITY };
            drawn(move || pixels::transcode(&made, made_as, output)).await?
        }
    };
    Ok((known, [(header::CONTENT_TYPE, text(format.content_type()))], Body::from(bytes)).into_response())
}

/// The content hash of a finished thing.
///
/// # Errors
/// 404 while it is not finished.
pub fn ready<'a>(state: ImageState, sha256: Option<&'a str>, what: &str) -> Result<&'a str> {
    let sha256 = sha256.filter(|_| state == ImageState::Ready);
    sha256
        .ok_or_else(|| Problem::new(Code::NotFound, format!("this {what} is pending: its job has not finished it yet")))
}

/// The bytes of a finished thing.
///
/// # Errors
/// 410 where it was erased since its row was read.
pub async fn bytes(app: &App, id: Uuid, what: &str) -> Result<Bytes> {
    let found = app.blobs.get(&id.to_string()).await?;
    found.ok_or_else(|| Problem::new(Code::Gone, format!("this {what} was erased")))
}

/// Whether `If-None-Match` (RFC 9110, 13.1.2) names this tag.
pub fn matches(headers: &HeaderMap, tag: &str) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(',')).map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

/// A header's value from text known to be visible ASCII.
pub fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("tags and media types are visible ASCII")
}

fn negotiate(headers: &HeaderMap, image: &Image) -> Result<Format> {
    let mut formats = FORMATS;
    formats.sort_by_key(|format| format.content_type() != image.content_type);
    let offers = formats.map(Format::content_type);
    let accept: Vec<_> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let accept = (!accept.is_empty()).then(|| accept.join(","));
    let chosen = accept::choose(accept.as_deref(), &offers).ok_or_else(|| {
        Problem::new(Code::NotAcceptable, format!("this picture can be given as {}", offers.join(", ")))
            .with(header::VARY, "accept")
    })?;
    Ok(formats.into_iter().find(|format| format.content_type() == chosen).expect("the choice is one of the offers"))
}

fn thumbnail_width(given: &str) -> Result<u32> {
    given.parse().ok().filter(|width| WIDTHS.contains(width)).ok_or_else(|| {
        let widths = WIDTHS.map(|width| width.to_string()).join(", ");
        Problem::invalid(vec![Fault::new("/query/width", format!("must be one of {widths}"))])
    })
}

async fn drawn(work: impl FnOnce() -> Result<Vec<u8>, Failure> + Send + 'static) -> Result<Bytes> {
    Ok(spawn_blocking(work).await.map_err(Problem::internal)?.map_err(Problem::internal)?.into())
}

fn format_of(content_type: &str) -> Result<Format> {
    let format = FORMATS.into_iter().find(|format| format.content_type() == content_type);
    format.ok_or_else(|| Problem::internal(format!("a picture is stored as {content_type}")))
}
