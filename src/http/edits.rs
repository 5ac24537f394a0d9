//! `POST /v1/edits`: from a picture and a wish to a stored job.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State, http::HeaderMap, response::Response};
use bytes::Bytes;
use serde_json::Value;

use crate::{
    app::App,
    error::Fault,
    http::{
        caller::Caller,
        edit_request::{EditFields, EditForm, EditRequest},
        error::{Problem, Result},
        form::{Form, pointer},
        generations,
        inverted::Inverted,
        pictures::{Incoming, read},
        submission::{Asked, Headers, Submitted},
        valid::{Valid, Wanted},
        valid_edit::{Pictures, edit},
    },
    job::Inversion,
};

/// Ask for edited pictures
///
/// A generation from a given picture on, in JSON or as a form. What a mask keeps comes back to the byte in a PNG. Headers and
/// answers are those of a generation.
#[utoipa::path(post, path = "/v1/edits", security(("key" = ["edit"])), tag = "generations",
    request_body(content((EditRequest = "application/json"), (EditForm = "multipart/form-data"))),
    params(Headers), responses(Submitted))]
pub async fn create(State(app): State<Arc<App>>, caller: Caller, headers: HeaderMap, form: Form) -> Result<Response> {
    let asked = Asked { app: &app, caller: &caller, headers: &headers, route: "edits" };
    asked.answer(form, async |form| accept(&app, &caller, form).await).await
}

/// The valid edit in a document or form; its pictures are stored as blobs by then, but only if all of it is valid.
///
/// # Errors
/// Every fault, or a model that nobody knows.
pub async fn accept(app: &App, caller: &Caller, form: Form) -> Result<Valid> {
    match form {
        Form::Json(document) => read_all(app, caller, document, BTreeMap::new()).await,
        Form::Parts(parts) => read_all(app, caller, parts.document(EditRequest::type_of)?, parts.files).await,
    }
}

/// The same from a document and the files that came beside it, by their fields.
///
/// # Errors
/// As [`accept`].
pub async fn read_all(app: &App, caller: &Caller, document: Value, files: BTreeMap<String, Bytes>) -> Result<Valid> {
    let (mut request, mut faults) = EditRequest::read(document).map_err(Problem::invalid)?;
    let inverted = Inverted::read(app, caller, request.edit.inversion.as_ref()).await?;
    let inverted = inverted.map_err(|fault| faults.push(fault)).ok().flatten();
    if let Some(Err(fault)) = inverted.as_ref().map(|inverted| inverted.fill(&mut request)) {
        faults.push(fault);
    }
    let card = app.catalog.get(request.generation.model.as_deref()).map_err(Problem::model_not_found)?;
    let mut pictures = pictures((app, caller), &request.edit, files, &mut faults).await?;
    if let Some(inverted) = &inverted {
        if pictures.image.is_some() {
            faults.push(Fault::new("/image", "must be left out: the inversion holds its picture"));
        }
        let Inversion { width, height, .. } = inverted.about.request;
        pictures.held = Some((inverted.reference(), (width, height)));
    }
    let latents = generations::noise((app, caller), card, &request.generation, &mut faults).await?;
    let cards = |id: &str| app.catalog.get(Some(id)).cloned();
    let wanted = Wanted { limits: &app.config.limits, latents, faults };
    let valid = edit(request, &pictures, (card, &cards), wanted).map_err(Problem::invalid)?;
    if let Some(inverted) = &inverted {
        inverted.fits(&valid.request, card, &cards).map_err(Problem::invalid)?;
    }
    let bytes = pictures.image.into_iter().chain(pictures.mask).map(|picture| picture.bytes);
    for bytes in bytes.chain(inverted.map(|inverted| inverted.bytes)) {
        app.blobs.put_input(bytes).await?;
    }
    Ok(valid)
}

/// The pictures that fields or files bring, and the faults of those that cannot be read.
async fn pictures(
    (app, caller): (&App, &Caller),
    fields: &EditFields,
    mut files: BTreeMap<String, Bytes>,
    faults: &mut Vec<Fault>,
) -> Result<Pictures> {
    let [image, mask] = ["image", "mask"].map(|name| files.remove(name));
    faults.extend(files.keys().map(|name| Fault::new(pointer(name), "is a file; `image` and `mask` are taken")));
    let image = read((app, caller), "/image", image, fields.image.as_ref()).await?;
    let mask = read((app, caller), "/mask", mask, fields.mask.as_ref()).await?;
    let mut kept = |read: Result<Option<Incoming>, Fault>| read.map_err(|fault| faults.push(fault)).ok().flatten();
    Ok(Pictures { image: kept(image), mask: kept(mask), held: None })
}
