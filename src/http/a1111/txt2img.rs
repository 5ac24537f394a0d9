//! `POST /sdapi/v1/txt2img`

use std::sync::Arc;

use axum::{Json, extract::State, http::HeaderMap};
use serde_json::Map;

use super::{answer, answer::Answer, errors::translated, native, read, run::made, settings::Settings, wish::Wish};
use crate::{
    app::App,
    http::{
        body,
        caller::Caller,
        error::{Problem, Result},
        generations,
        submission::Asked,
    },
    job::Owner,
};

/// Make pictures
///
/// Waits for them, however long it takes; a client that goes away cancels them.
#[utoipa::path(post, path = "/sdapi/v1/txt2img", security(("key" = ["generate"])), tag = "a1111", request_body = Wish, responses((status = 200, body = Answer)))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body::Json(document): body::Json,
) -> Result<Json<Answer>> {
    let wish = read::txt2img(document)?;
    let settings = settings(&app, &caller.owner, &wish)?;
    let card = settings.card(&app);
    let mut native = native::request(&app, &wish, &settings, card)?;
    let asked = Asked { app: &app, caller: &caller, headers: &headers, route: "sdapi/txt2img" };
    let accept = async |document| generations::accept(&app, &caller, document).await.map_err(translated);
    let placed = asked.place(native.document.take(), accept).await?;
    let made = made(&app, placed, asked.kept(), &wish, None).await?;
    Ok(Json(answer::answer(made, &wish, &native, card, Map::new())))
}

/// What a wish sets for itself, else its caller's settings.
///
/// # Errors
/// Settings that cannot be had.
pub fn settings(app: &App, caller: &Owner, wish: &Wish) -> Result<Settings> {
    let own = Settings::read(app, &wish.override_settings);
    let under = |fault: crate::error::Fault| fault.under("/override_settings");
    let own = own.map_err(|faults| Problem::invalid(faults.into_iter().map(under).collect()))?;
    Ok(own.or(app.desk.settings(caller)))
}
