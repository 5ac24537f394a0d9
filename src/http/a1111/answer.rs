//! What a call for pictures is answered.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    native::{Native, merge},
    run::Made,
    settings::hash,
    wish::Wish,
};
use crate::model::Card;

/// Pictures, and how they were made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SdapiPictures)]
pub struct Answer {
    /// The pictures in base64, without a prefix.
    images: Vec<String>,
    /// The request with every key, the drawn seeds among them.
    #[schema(value_type = Object)]
    parameters: Map<String, Value>,
    /// JSON: seeds, size, sampler, model, and the text of each picture, which it carries too.
    info: String,
}

/// The answer to a wish; `more` are the keys that `img2img` adds.
pub fn answer(made: Made, wish: &Wish, native: &Native, card: &Card, more: Map<String, Value>) -> Answer {
    let info = info(&made, wish, native, card).to_string();
    let mut parameters = serde_json::to_value(wish).expect("a wish is JSON").as_object().cloned().unwrap_or_default();
    parameters.extend(more);
    parameters.insert("seed".into(), made.request.seed.into());
    parameters.insert("subseed".into(), native.subseed.into());
    Answer { images: made.images, parameters, info }
}

fn info(made: &Made, wish: &Wish, native: &Native, card: &Card) -> Value {
    let (request, count) = (&made.request, made.texts.len());
    let counted = |first: u64| (0..count as u64).map(|k| first + k).collect::<Vec<_>>();
    let mut info = json!({
        "prompt": request.prompt,
        "all_prompts": vec![&request.prompt; count],
        "negative_prompt": request.negative_prompt,
        "all_negative_prompts": vec![&request.negative_prompt; count],
        "seed": request.seed,
        "all_seeds": counted(request.seed),
        "subseed": native.subseed,
        "all_subseeds": counted(native.subseed),
        "subseed_strength": wish.subseed_strength,
        "width": request.width,
        "height": request.height,
        "sampler_name": native.sampler,
        "cfg_scale": wish.cfg_scale,
        "steps": wish.steps,
        "batch_size": wish.batch_size,
        "seed_resize_from_w": wish.seed_resize_from_w,
        "seed_resize_from_h": wish.seed_resize_from_h,
        "denoising_strength": request.edit.as_ref().map(|edit| edit.strength),
        "extra_generation_params": { "Schedule type": native.scheduler },
        "infotexts": made.texts,
        "styles": wish.styles,
        "job_timestamp": stamp(made.job.created_at),
        "clip_skip": request.clip_skip + 1,
    });
    merge(&mut info, of_the_server(card, request.edit.is_some()));
    info
}

/// What does not depend on the wish, or asks for what is not there.
fn of_the_server(card: &Card, changes: bool) -> Map<String, Value> {
    let fields = json!({
        "sd_model_name": &*card.id,
        "sd_model_hash": hash(card),
        "sd_vae_name": null,
        "sd_vae_hash": null,
        "restore_faces": false,
        "face_restoration_model": null,
        "index_of_first_image": 0,
        "is_using_inpainting_conditioning": card.inpaints && changes,
        "version": concat!("darkroom ", env!("CARGO_PKG_VERSION")),
    });
    fields.as_object().cloned().unwrap_or_default()
}

/// `YYYYmmddHHMMSS`, UTC.
pub fn stamp(time: Timestamp) -> String {
    time.strftime("%Y%m%d%H%M%S").to_string()
}
