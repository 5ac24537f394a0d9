//! `POST /v1/images/variations`: more pictures like one.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State, http::HeaderMap, response::Response};

use super::{
    answer::Answer,
    bodies::ImageVariationForm,
    edits::first_alone,
    form,
    pictures::Pictures,
    request::{Manner, Wish},
    route::Route,
    waiting::answer,
};
use crate::{
    app::App,
    error::Fault,
    http::{
        address,
        caller::Caller,
        edits,
        error::{Problem, Result},
        form::{Beside, Raw},
        submission::Asked,
    },
};

/// Ask for variations of a picture in OpenAI's words
///
/// Noise is added to the picture and taken off again, towards no prompt: `sdedit` at `openai.variation_strength`, unguided,
/// unless native fields beside these say otherwise.
#[utoipa::path(post, path = "/v1/images/variations", security(("key" = ["edit"])), tag = "openai",
    request_body(content = ImageVariationForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "The pictures", body = Answer)))]
pub async fn create(State(app): State<Arc<App>>, caller: Caller, headers: HeaderMap, raw: Raw) -> Result<Response> {
    let base = address::base(&app.config.http, &headers);
    let (wish, manner) = translated((&app, &caller), &base, raw).await?;
    let asked = Asked { app: &app, caller: &caller, headers: &headers, route: "images/variations" };
    let placed = asked.place(wish, async |(native, files)| edits::read_all(&app, &caller, native, files).await);
    answer(&app, &headers, placed.await?, manner).await
}

async fn translated((app, caller): (&App, &Caller), base: &str, raw: Raw) -> Result<(Beside, Manner)> {
    let (document, files) = form::read(raw)?;
    let Wish { mut native, fields, mut manner } = Wish::read(app, Route::Variation, document)?;
    let pictures = Pictures::read((app, caller), base, &fields, files).await?;
    if pictures.mask.is_some() {
        return Err(Problem::invalid(vec![Fault::new(
            "/mask",
            "must be left out: a variation is one of all of the picture",
        )]));
    }
    manner.warnings.extend(first_alone(pictures.others));
    let strength = app.config.openai.variation_strength;
    if !native.contains_key("prompt") {
        native.entry("guidance").or_insert(1.into());
    }
    native.entry("method").or_insert("sdedit".into());
    native.entry("strength").or_insert(strength.into());
    let files = BTreeMap::from([("image".to_owned(), pictures.image)]);
    Ok(((native.into(), files), manner))
}
