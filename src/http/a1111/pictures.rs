//! Pictures that come along: base64 with or without a prefix.

use image::RgbImage;
use serde_json::Value;

use crate::{
    app::App,
    error::Fault,
    http::{
        self,
        caller::Caller,
        error::{Problem, Result},
        reference::{Earlier, fetch},
    },
    pixels,
};

/// The bytes of the picture in a field, which can be decoded.
///
/// # Errors
/// The fault of the field.
pub async fn bytes(app: &App, pointer: &str, given: &str) -> Result<bytes::Bytes> {
    let given = Value::from(given);
    let read = http::pictures::read((app, &Caller::anyone()), pointer, None, Some(&given)).await?;
    let read = read.map_err(|fault| Problem::invalid(vec![fault]))?;
    read.map(|picture| picture.bytes).ok_or_else(|| Problem::invalid(vec![Fault::new(pointer, "is missing")]))
}

/// The picture in a field, upright, over white.
///
/// # Errors
/// The fault of the field.
pub async fn read(app: &App, pointer: &str, given: &str) -> Result<RgbImage> {
    let fault = |message: String| Problem::invalid(vec![Fault::new(pointer, message)]);
    let bytes = fetch(app, &Caller::anyone(), &Value::from(given), Earlier::Image).await?.map_err(fault)?;
    let most = app.config.limits.pixels;
    let decoded = tokio::task::spawn_blocking(move || pixels::decode(&bytes, most)).await;
    decoded.unwrap_or_else(|_| Err("cannot be decoded".into())).map(|decoded| decoded.rgb).map_err(fault)
}
