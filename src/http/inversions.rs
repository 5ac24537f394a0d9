//! `POST /v1/inversions`: from a picture to a stored job that leaves a code for it.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};

use crate::{
    app::App,
    edit,
    error::Fault,
    http::{
        body,
        caller::Caller,
        error::{Problem, Result},
        inversion_request::InversionRequest,
        pictures::{Incoming, read},
        submission::{Asked, Headers, Submitted},
        valid::{Check, Valid, Wanted},
    },
    job::Inversion,
    model::Card,
    task::Cards,
};

/// Ask for the code of a picture
///
/// The job leaves one file, which edits with the same method may start from as often as they like. Headers and answers are
/// those of a generation.
#[utoipa::path(post, path = "/v1/inversions", security(("key" = ["edit"])), tag = "generations", request_body = InversionRequest,
    params(Headers), responses(Submitted))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body::Json(document): body::Json,
) -> Result<Response> {
    let asked = Asked { app: &app, caller: &caller, headers: &headers, route: "inversions" };
    asked.answer(document, async |document| accept(&app, &caller, document).await).await
}

/// The valid inversion in a document; its picture is stored as a blob by then, but only if all of it is valid.
///
/// # Errors
/// Every fault, or a model that nobody knows.
pub async fn accept(app: &App, caller: &Caller, document: serde_json::Value) -> Result<Valid> {
    let (request, mut faults) = InversionRequest::read(document).map_err(Problem::invalid)?;
    let card = app.catalog.get(request.model.as_deref()).map_err(Problem::model_not_found)?;
    let image = read((app, caller), "/image", None, request.image.as_ref()).await?;
    let image = image.map_err(|fault| faults.push(fault)).ok().flatten();
    let cards = |id: &str| app.catalog.get(Some(id)).cloned();
    let wanted = Wanted { limits: &app.config.limits, latents: None, faults };
    let valid = inversion(request, image.as_ref(), (card, &cards), wanted).map_err(Problem::invalid)?;
    if let Some(image) = image {
        app.blobs.put_input(image.bytes).await?;
    }
    Ok(valid)
}

/// Checks a wish against its model and fills in every default, as [`valid::generation`](super::valid::generation) does.
fn inversion(
    request: InversionRequest,
    image: Option<&Incoming>,
    model: (&Arc<Card>, Cards),
    wanted: Wanted,
) -> Result<Valid, Vec<Fault>> {
    let (mut check, _) = Check::new(model, wanted);
    let inversion = check.inversion(request, image);
    check.finish(inversion)
}

impl Check<'_> {
    /// `None` beside a fault.
    fn inversion(&mut self, request: InversionRequest, image: Option<&Incoming>) -> Option<Inversion> {
        self.frames("/image", image);
        if image.is_none() && !self.at_fault("/image") {
            self.fault("/image", "is missing: there is nothing to invert");
        }
        let (name, method) = self.read_method(request.method.as_ref().unwrap_or(&"ddim".into()))?;
        let usual = edit::canonical(&name["name"]).ok().map(|usual| usual["source_guidance"].clone());
        if usual.is_some_and(|usual| usual != name["source_guidance"]) {
            self.fault("/method/source_guidance", "must be left out: it is the inversion's own `guidance`");
        }
        let (resize, precision) = (request.resize, request.precision);
        let strength = request.strength.unwrap_or(method.strength());
        if strength <= 0.0 {
            self.fault("/strength", "must be above 0: without a step there is no code");
        }
        let made = self.generation(request.generation(&*method), None);
        Some(Inversion::new(made, (image?.reference(), resize), (name, strength), precision))
    }
}
