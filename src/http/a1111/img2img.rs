//! `POST /sdapi/v1/img2img`

use std::sync::Arc;

use axum::{Json, extract::State, http::HeaderMap};
use base64::{Engine, engine::general_purpose::STANDARD};
use image::{GrayImage, RgbImage, imageops::grayscale};
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;

use super::{
    answer,
    answer::Answer,
    canvas::{Canvas, Laying},
    errors::translated,
    native::{self, merge, size},
    pictures, read,
    run::{Over, made},
    txt2img::settings,
    wish::{Start, Wish},
};
use crate::{
    app::App,
    http::{
        body,
        caller::Caller,
        edits,
        error::{Problem, Result},
        form::Form,
        submission::Asked,
    },
    job::Output,
    pixels,
};

/// Share of the steps of a wish that does not say.
const STRENGTH: f64 = 0.75;

/// What a mask's white starts from, in the order of their numbers.
const FILLS: [&str; 4] = ["surroundings", "original", "noise", "nothing"];

/// Pixels of a mask's blur where a wish does not say.
const BLUR: u32 = 4;

/// Change a picture
///
/// Waits for the pictures, however long it takes; a client that goes away cancels them. They have the asked size.
#[utoipa::path(post, path = "/sdapi/v1/img2img", security(("key" = ["edit"])), tag = "a1111", request_body = read::Img2img,
    responses((status = 200, body = Answer)))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body::Json(document): body::Json,
) -> Result<Json<Answer>> {
    let (wish, start) = read::img2img(document)?;
    let settings = settings(&app, &caller.owner, &wish)?;
    let card = settings.card(&app);
    let mut native = native::request(&app, &wish, &settings, card)?;
    let canvas = canvas(&app, &start, size(&app, &wish, card)?).await?;
    let (mut document, output) = (native.document.take(), settings.output());
    merge(&mut document, edit(&wish, &start, canvas.clone()).await?);
    let over = canvas.is_parted().then_some(Over { canvas, output });
    if over.is_some() {
        document["output"] = json!(Output::default());
    }
    let asked = Asked { app: &app, caller: &caller, headers: &headers, route: "sdapi/img2img" };
    let accept = async |form| edits::accept(&app, &caller, form).await.map_err(translated);
    let placed = asked.place(Form::Json(document), accept).await?;
    let made = made(&app, placed, asked.kept(), &wish, over).await?;
    Ok(Json(answer::answer(made, &wish, &native, card, repeated(start))))
}

/// What the pictures start from, at their size.
async fn canvas(app: &App, start: &Start, size: (u32, u32)) -> Result<Canvas> {
    let image = pictures::read(app, "/init_images/0", &start.init_images[0]).await?;
    let mask: Option<GrayImage> = match &start.mask {
        Some(mask) => Some(grayscale(&pictures::read(app, "/mask", mask).await?)),
        None => None,
    };
    let how = Laying {
        size,
        mode: start.resize_mode,
        inverted: start.inpainting_mask_invert == 1,
        blur: start.mask_blur_x.or(start.mask_blur_y).or(start.mask_blur).unwrap_or(BLUR),
        around: start.inpaint_full_res.then_some(start.inpaint_full_res_padding),
    };
    spawn_blocking(move || Canvas::new(&image, mask.as_ref(), how)).await.map_err(Problem::internal)
}

/// The fields that a native edit adds.
async fn edit(wish: &Wish, start: &Start, canvas: Canvas) -> Result<Map<String, Value>> {
    let drawn = move || {
        let (picture, mask) = canvas.work();
        let mask = mask.map(|mask| written(&image::DynamicImage::from(mask).into_rgb8())).transpose()?;
        Ok::<_, Problem>((written(&picture)?, mask))
    };
    let (image, mask) = spawn_blocking(drawn).await.map_err(Problem::internal)??;
    let method = match &mask {
        Some(_) => json!({ "name": "inpaint", "fill": FILLS[start.inpainting_fill as usize] }),
        None => json!("sdedit"),
    };
    let strength = wish.denoising_strength.unwrap_or(STRENGTH);
    let fields = json!({ "image": image, "mask": mask, "method": method, "strength": strength, "resize": "stretch" });
    Ok(fields.as_object().cloned().unwrap_or_default())
}

/// A PNG in base64.
fn written(picture: &RgbImage) -> Result<String> {
    let (width, height) = picture.dimensions();
    let png = pixels::encode(picture.as_raw(), width, height, Output::default(), None).map_err(Problem::internal)?;
    Ok(STANDARD.encode(png))
}

/// What of the start the answer repeats: pictures only where they are asked for.
fn repeated(start: Start) -> Map<String, Value> {
    let pictures = start.include_init_images;
    let mut fields = serde_json::to_value(start).expect("a start is JSON").as_object().cloned().unwrap_or_default();
    if !pictures {
        fields.extend(["init_images", "mask"].map(|name| (name.to_owned(), Value::Null)));
    }
    fields
}
