//! `POST /sdapi/v1/extra-single-image` and `extra-batch-images`: pictures at another size, without a network.

use std::{io::Cursor, sync::Arc};

use axum::{Json, extract::State};
use base64::{Engine, engine::general_purpose::STANDARD};
use image::{ImageFormat, Rgb, RgbImage, imageops::FilterType};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::pictures;
use crate::{
    app::App,
    error::Fault,
    http::{
        body,
        error::{Problem, Result},
    },
    job::Resize,
    pixels::fit::{Resampling, fit},
    registry::unknown,
};

/// The upscalers, and the filter of each; `None` leaves the picture as it is.
pub const UPSCALERS: [(&str, Option<FilterType>); 3] =
    [("None", None), ("Lanczos", Some(FilterType::Lanczos3)), ("Nearest", Some(FilterType::Nearest))];

/// Pictures in one request at most.
const MOST: usize = 64;

/// How pictures are made larger.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = SdapiUpscaling)]
pub struct How {
    /// 0: times `upscaling_resize`; 1: to `upscaling_resize_w` by `upscaling_resize_h`.
    #[schema(minimum = 0, maximum = 1)]
    resize_mode: u32,
    /// The factor.
    #[schema(minimum = 0.01, maximum = 16)]
    upscaling_resize: f64,
    /// Pixels.
    #[schema(minimum = 1, maximum = 16384)]
    upscaling_resize_w: u32,
    /// Pixels.
    #[schema(minimum = 1, maximum = 16384)]
    upscaling_resize_h: u32,
    /// Whether that size is filled and what stands over cut away; otherwise it is not exceeded.
    upscaling_crop: bool,
    /// A name from `/sdapi/v1/upscalers`.
    upscaler_1: String,
    /// Not done: `None`.
    upscaler_2: String,
    /// No matter without `upscaler_2`.
    extras_upscaler_2_visibility: f64,
    /// Not done: 0.
    gfpgan_visibility: f64,
    /// Not done: 0.
    codeformer_visibility: f64,
    /// No matter without `codeformer_visibility`.
    codeformer_weight: f64,
    /// No matter: there is nothing else to do first.
    upscale_first: bool,
    /// No matter.
    show_extras_results: bool,
    /// The picture, of `extra-single-image`.
    image: String,
    /// The pictures, of `extra-batch-images`.
    #[serde(rename = "imageList")]
    image_list: Vec<Named>,
}

/// A picture and its name.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = SdapiNamedPicture)]
pub struct Named {
    /// In base64 or as a data URL.
    data: String,
    /// No matter.
    name: String,
}

impl Default for How {
    fn default() -> Self {
        Self {
            resize_mode: 0,
            upscaling_resize: 2.0,
            upscaling_resize_w: 512,
            upscaling_resize_h: 512,
            upscaling_crop: true,
            upscaler_1: "None".into(),
            upscaler_2: "None".into(),
            extras_upscaler_2_visibility: 0.0,
            gfpgan_visibility: 0.0,
            codeformer_visibility: 0.0,
            codeformer_weight: 0.0,
            upscale_first: false,
            show_extras_results: true,
            image: String::new(),
            image_list: Vec::new(),
        }
    }
}

/// One picture at its new size.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SdapiUpscaled)]
pub struct One {
    /// Always empty.
    #[schema(value_type = String)]
    html_info: &'static str,
    /// PNG in base64.
    image: String,
}

/// Pictures at their new sizes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SdapiUpscaledMany)]
pub struct Many {
    /// Always empty.
    #[schema(value_type = String)]
    html_info: &'static str,
    /// PNGs in base64, in their order.
    images: Vec<String>,
}

/// Make a picture larger
#[utoipa::path(post, path = "/sdapi/v1/extra-single-image", security(("key" = ["edit"])), tag = "a1111",
    request_body(content = How, example = json!({ "image": super::read::PICTURE, "upscaler_1": "Lanczos", "upscaling_resize": 2 })),
    responses((status = 200, body = One)))]
pub async fn one(State(app): State<Arc<App>>, body::Json(document): body::Json) -> Result<Json<One>> {
    let how: How = super::typed(document)?;
    let filter = how.filter()?;
    let image = upscaled(&app, &how, filter, "/image", &how.image).await?;
    Ok(Json(One { html_info: "", image }))
}

/// Make pictures larger
#[utoipa::path(post, path = "/sdapi/v1/extra-batch-images", security(("key" = ["edit"])), tag = "a1111",
    request_body(content = How, example = json!({ "imageList": [{ "data": super::read::PICTURE, "name": "one" }], "upscaler_1": "Lanczos" })),
    responses((status = 200, body = Many)))]
pub async fn many(State(app): State<Arc<App>>, body::Json(document): body::Json) -> Result<Json<Many>> {
    let how: How = super::typed(document)?;
    let filter = how.filter()?;
    if how.image_list.len() > MOST {
        return Err(fault("/imageList", format!("holds more than {MOST} pictures")));
    }
    let mut images = Vec::new();
    for (at, named) in how.image_list.iter().enumerate() {
        images.push(upscaled(&app, &how, filter, &format!("/imageList/{at}/data"), &named.data).await?);
    }
    Ok(Json(Many { html_info: "", images }))
}

impl How {
    /// The filter of the upscaler.
    ///
    /// # Errors
    /// What is not done here, and numbers out of their range.
    fn filter(&self) -> Result<Option<FilterType>> {
        let names = UPSCALERS.map(|(name, _)| name);
        let ranged = [
            ("upscaling_resize", self.upscaling_resize, 0.01, 16.0),
            ("resize_mode", self.resize_mode.into(), 0.0, 1.0),
        ];
        if let Some((name, _, least, most)) =
            ranged.iter().find(|(_, value, least, most)| value < least || value > most)
        {
            return Err(fault(&format!("/{name}"), format!("must be {least} to {most}")));
        }
        for (name, value) in
            [("gfpgan_visibility", self.gfpgan_visibility), ("codeformer_visibility", self.codeformer_visibility)]
        {
            if value != 0.0 {
                return Err(fault(&format!("/{name}"), "must be 0: there is no face restoration".into()));
            }
        }
        if !self.upscaler_2.eq_ignore_ascii_case("none") && !self.upscaler_2.is_empty() {
            return Err(fault("/upscaler_2", "must be `None`: one upscaler is used".into()));
        }
        let found = UPSCALERS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&self.upscaler_1));
        found
            .map(|(_, filter)| *filter)
            .ok_or_else(|| fault("/upscaler_1", unknown("upscaler", &self.upscaler_1, &names)))
    }

    /// The new size of a picture, and how it comes to it.
    fn size(&self, (width, height): (u32, u32)) -> ((u32, u32), Resize) {
        let times = |side: u32, factor: f64| (f64::from(side) * factor).round().clamp(1.0, 1e6) as u32;
        if self.resize_mode == 0 {
            let size = (times(width, self.upscaling_resize), times(height, self.upscaling_resize));
            return (size, Resize::Stretch);
        }
        let (w, h) = (self.upscaling_resize_w, self.upscaling_resize_h);
        if self.upscaling_crop {
            return ((w, h), Resize::Crop);
        }
        let factor = (f64::from(w) / f64::from(width)).min(f64::from(h) / f64::from(height));
        ((times(width, factor), times(height, factor)), Resize::Stretch)
    }
}

async fn upscaled(app: &App, how: &How, filter: Option<FilterType>, at: &str, given: &str) -> Result<String> {
    let picture = pictures::read(app, at, given).await?;
    let Some(filter) = filter else { return encoded(picture).await };
    let (size, mode) = how.size(picture.dimensions());
    if let Some(too_large) = app.config.limits.picture(size.0, size.1) {
        let name = if how.resize_mode == 0 { "/upscaling_resize" } else { "/upscaling_resize_w" };
        return Err(fault(name, too_large.message));
    }
    let with = Resampling { filter, ground: Rgb([255; 3]) };
    let large = spawn_blocking(move || fit(&picture, size, mode, with)).await.map_err(Problem::internal)?;
    encoded(large).await
}

async fn encoded(picture: RgbImage) -> Result<String> {
    let encode = move || {
        let mut png = Cursor::new(Vec::new());
        picture.write_to(&mut png, ImageFormat::Png).map(|()| STANDARD.encode(png.into_inner()))
    };
    spawn_blocking(encode).await.map_err(Problem::internal)?.map_err(Problem::internal)
}

fn fault(pointer: &str, message: String) -> Problem {
    Problem::invalid(vec![Fault::new(pointer, message)])
}
