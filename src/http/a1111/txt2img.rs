//! `POST /sdapi/v1/txt2img`

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::Map;

use super::{
    EVERYONE, answer, answer::Answer, errors::translated, native, read, run::made, settings::Settings, wish::Wish,
};
use crate::{
    app::App,
    http::{
        body,
        error::{Problem, Result},
        generations,
    },
};

/// Make pictures
///
/// Waits for them, however long it takes; a client that goes away cancels them.
#[utoipa::path(post, path = "/sdapi/v1/txt2img", tag = "a1111", request_body = Wish, responses((status = 200, body = Answer)))]
pub async fn create(State(app): State<Arc<App>>, body::Json(document): body::Json) -> Result<Json<Answer>> {
    if app.draining() {
        return Err(Problem::draining());
    }
    let wish = read::txt2img(document)?;
    let settings = settings(&app, EVERYONE, &wish)?;
    let card = settings.card(&app);
    let mut native = native::request(&app, &wish, &settings, card)?;
    let valid = generations::accept(&app, native.document.take()).await.map_err(translated)?;
    let made = made(&app, EVERYONE, valid, &wish, None).await?;
    Ok(Json(answer::answer(made, &wish, &native, card, Map::new())))
}

/// What a wish sets for itself, else its caller's settings.
///
/// # Errors
/// Settings that cannot be had.
pub fn settings(app: &App, caller: &str, wish: &Wish) -> Result<Settings> {
    let own = Settings::read(app, &wish.override_settings);
    let under = |fault: crate::error::Fault| fault.under("/override_settings");
    let own = own.map_err(|faults| Problem::invalid(faults.into_iter().map(under).collect()))?;
    Ok(own.or(app.desk.settings(caller)))
}
