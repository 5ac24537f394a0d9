//! What a call for pictures is answered.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{native::Native, run::Made, settings::hash, wish::Wish};
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
    let request = &made.request;
    let count = made.texts.len();
    let strength = request.edit.as_ref().map(|edit| edit.strength);
    json!({
        "prompt": request.prompt,
        "all_prompts": vec![&request.prompt; count],
        "negative_prompt": request.negative_prompt,
        "all_negative_prompts": vec![&request.negative_prompt; count],
        "seed": request.seed,
        "all_seeds": (0..count as u64).map(|k| request.seed + k).collect::<Vec<_>>(),
        "subseed": native.subseed,
        "all_subseeds": (0..count as u64).map(|k| native.subseed + k).collect::<Vec<_>>(),
        "subseed_strength": wish.subseed_strength,
        "width": request.width,
        "height": request.height,
        "sampler_name": native.sampler,
        "cfg_scale": wish.cfg_scale,
        "steps": wish.steps,
        "batch_size": wish.batch_size,
        "restore_faces": false,
        "face_restoration_model": null,
        "sd_model_name": &*card.id,
        "sd_model_hash": hash(card),
        "sd_vae_name": null,
        "sd_vae_hash": null,
        "seed_resize_from_w": wish.seed_resize_from_w,
        "seed_resize_from_h": wish.seed_resize_from_h,
        "denoising_strength": strength,
        "extra_generation_params": { "Schedule type": native.scheduler },
        "index_of_first_image": 0,
        "infotexts": made.texts,
        "styles": wish.styles,
        "job_timestamp": stamp(made.job.created_at),
        "clip_skip": request.clip_skip + 1,
        "is_using_inpainting_conditioning": card.inpaints && request.edit.is_some(),
        "version": concat!("darkroom ", env!("CARGO_PKG_VERSION")),
    })
}

/// `YYYYmmddHHMMSS`, UTC.
pub fn stamp(time: Timestamp) -> String {
    time.strftime("%Y%m%d%H%M%S").to_string()
}
