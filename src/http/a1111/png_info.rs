//! `POST /sdapi/v1/png-info`: what a picture says of how it was made.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{infotext::parameters, pictures};
use crate::{
    app::App,
    http::{body, error::Result},
    pixels::said,
};

/// A picture.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = SdapiPngInfoRequest, example = json!({ "image": super::read::PICTURE }))]
pub struct Asked {
    /// PNG, JPEG or WebP in base64 or as a data URL.
    image: String,
}

/// What it says.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SdapiPngInfo)]
pub struct Info {
    /// The text, empty where it has none.
    info: String,
    /// Its other texts by their keywords.
    items: BTreeMap<String, String>,
    /// What the text says: `Prompt`, `Negative prompt`, `Steps` ...
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
}

/// Read what a picture says
#[utoipa::path(post, path = "/sdapi/v1/png-info", security(("key" = ["read"])), tag = "a1111", request_body = Asked, responses((status = 200, body = Info)))]
pub async fn show(State(app): State<Arc<App>>, body::Json(document): body::Json) -> Result<Json<Info>> {
    let asked: Asked = super::typed(document)?;
    let bytes = pictures::bytes(&app, "/image", &asked.image).await?;
    let mut items = said(&bytes);
    let info = items.remove("parameters").unwrap_or_default();
    let parameters = if info.is_empty() { Map::new() } else { parameters(&info) };
    Ok(Json(Info { info, items, parameters }))
}
