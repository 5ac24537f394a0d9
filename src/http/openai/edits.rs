//! `POST /v1/images/edits`: a picture and a wish to pictures.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};

use super::{
    answer::Answer,
    bodies::{ImageEdit, ImageEditForm},
    fields::Fidelity,
    form,
    pictures::Pictures,
    request::{Manner, Wish},
    route::Route,
    waiting::answer,
};
use crate::{
    app::App,
    http::{
        address,
        caller::Caller,
        edits,
        error::Result,
        events::ServerSentEvent,
        form::{Beside, Raw},
        submission::Asked,
    },
    job::Warning,
};

/// Ask for an edited picture in OpenAI's words
///
/// As a form with the files `image` (or `image[]`) and `mask`, or in JSON with `images`. Where the mask is transparent the
/// picture is edited, the rest comes back as it was; without a mask the picture's own transparency is one. All fields of a
/// native edit (`method`, `strength`, `source_prompt`, `seed` ...) go beside these; in a form an object is JSON, or parts with
/// brackets, such as `sampler[name]`.
#[utoipa::path(post, path = "/v1/images/edits", security(("key" = ["edit"])), tag = "openai",
    request_body(content((ImageEditForm = "multipart/form-data"), (ImageEdit = "application/json"))), responses(
    (status = 200, description = "The pictures", content((Answer = "application/json"), (ServerSentEvent = "text/event-stream")))))]
pub async fn create(State(app): State<Arc<App>>, caller: Caller, headers: HeaderMap, raw: Raw) -> Result<Response> {
    let base = address::base(&app.config.http, &headers);
    let (wish, manner) = translated((&app, &caller), &base, raw).await?;
    let asked = Asked { app: &app, caller: &caller, headers: &headers, route: "images/edits" };
    let placed = asked.place(wish, async |(native, files)| edits::read_all(&app, &caller, native, files).await);
    answer(&app, &headers, placed.await?, manner).await
}

async fn translated((app, caller): (&App, &Caller), base: &str, raw: Raw) -> Result<(Beside, Manner)> {
    let (document, files) = form::read(raw)?;
    let Wish { mut native, fields, mut manner } = Wish::read(app, Route::Edit, document)?;
    let pictures = Pictures::read((app, caller), base, &fields, files).await?;
    let change = pictures.change(app).await?;
    if fields.input_fidelity == Fidelity::High && change.is_none() {
        native.entry("strength").or_insert(app.config.openai.fidelity_strength.into());
    }
    manner.warnings.extend(first_alone(pictures.others));
    let files = [("image", Some(pictures.image)), ("mask", change)];
    let files = files.into_iter().filter_map(|(name, bytes)| Some((name.to_owned(), bytes?)));
    Ok(((native.into(), files.collect()), manner))
}

/// A remark where pictures came along that are not edited.
pub fn first_alone(others: usize) -> Option<Warning> {
    let message = format!("of {} pictures only the first is edited", others + 1);
    (others > 0).then(|| Warning { pointer: "/image".into(), message })
}
