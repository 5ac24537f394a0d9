//! What can be asked for, as AUTOMATIC1111's clients list it. What is not here is an empty list.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    names::{AUTOMATIC, SAMPLERS, SCHEDULERS},
    settings::{hash, title},
    upscale::UPSCALERS,
};
use crate::app::App;

/// A sampler.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SdapiSampler)]
pub struct Sampler {
    /// What to give as `sampler_name`.
    #[schema(value_type = String)]
    name: &'static str,
    /// Other names of it.
    #[schema(value_type = Vec<String>)]
    aliases: &'static [&'static str],
    /// `scheduler`: what `Automatic` means with it.
    #[schema(value_type = Object)]
    options: Map<String, Value>,
}

/// A schedule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SdapiScheduler)]
pub struct Scheduler {
    /// What to give as `scheduler`.
    #[schema(value_type = String)]
    name: &'static str,
    /// A name for people.
    #[schema(value_type = String)]
    label: &'static str,
    /// Other names of it.
    #[schema(value_type = Vec<String>)]
    aliases: &'static [&'static str],
    /// The exponent of its spacing, -1 where it has none.
    default_rho: f64,
    /// Whether it needs the model's own levels.
    need_inner_model: bool,
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SdapiModel)]
pub struct Model {
    /// What to give as `sd_model_checkpoint`.
    title: String,
    /// Its id in `/v1/models`.
    model_name: String,
    /// The first ten digits of its hash.
    hash: String,
    /// Its hash.
    sha256: String,
    /// Its id once more.
    filename: String,
    /// Always null.
    #[schema(value_type = Option<String>)]
    config: Option<&'static str>,
}

/// A way to make a picture larger.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SdapiUpscaler)]
pub struct Upscaler {
    /// What to give as `upscaler_1`.
    #[schema(value_type = String)]
    name: &'static str,
    /// Always null.
    #[schema(value_type = Option<String>)]
    model_name: Option<&'static str>,
    /// Always null.
    #[schema(value_type = Option<String>)]
    model_path: Option<&'static str>,
    /// Always null.
    #[schema(value_type = Option<String>)]
    model_url: Option<&'static str>,
    /// Any; 4 is what the original says.
    scale: f64,
}

/// The names of scripts, of which there are none.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = SdapiScripts)]
pub struct Scripts {
    /// Of `txt2img`.
    txt2img: Vec<String>,
    /// Of `img2img`.
    img2img: Vec<String>,
}

/// The embeddings, of which there are none.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = SdapiEmbeddings)]
pub struct Embeddings {
    /// Those that fit the model.
    #[schema(value_type = Object)]
    loaded: Map<String, Value>,
    /// Those that do not.
    #[schema(value_type = Object)]
    skipped: Map<String, Value>,
}

/// List samplers
#[utoipa::path(get, path = "/sdapi/v1/samplers", security(("key" = ["read"])), tag = "a1111", responses((status = 200, body = Vec<Sampler>)))]
pub async fn samplers() -> Json<Vec<Sampler>> {
    let sampler = |sampler: &super::names::Sampler| {
        let own = sampler.automatic.map(|name| ("scheduler".to_owned(), json!(name)));
        Sampler { name: sampler.name, aliases: sampler.aliases, options: own.into_iter().collect() }
    };
    Json(SAMPLERS.iter().map(sampler).collect())
}

/// List schedules
#[utoipa::path(get, path = "/sdapi/v1/schedulers", security(("key" = ["read"])), tag = "a1111", responses((status = 200, body = Vec<Scheduler>)))]
pub async fn schedulers() -> Json<Vec<Scheduler>> {
    let (name, label) = AUTOMATIC;
    let automatic = Scheduler { name, label, aliases: &[], default_rho: -1.0, need_inner_model: false };
    let scheduler = |scheduler: &super::names::Scheduler| Scheduler {
        name: scheduler.name,
        label: scheduler.label,
        aliases: scheduler.aliases,
        default_rho: scheduler.rho,
        need_inner_model: ["uniform", "sgm_uniform", "simple", "normal", "ddim", "beta"].contains(&scheduler.name),
    };
    Json(std::iter::once(automatic).chain(SCHEDULERS.iter().map(scheduler)).collect())
}

/// List models
#[utoipa::path(get, path = "/sdapi/v1/sd-models", security(("key" = ["read"])), tag = "a1111", responses((status = 200, body = Vec<Model>)))]
pub async fn models(State(app): State<Arc<App>>) -> Json<Vec<Model>> {
    let model = |card: &Arc<crate::model::Card>| Model {
        title: title(card),
        model_name: card.id.to_string(),
        hash: hash(card).to_owned(),
        sha256: card.sha256.clone(),
        filename: card.id.to_string(),
        config: None,
    };
    Json(app.catalog.iter().map(model).collect())
}

/// List upscalers
#[utoipa::path(get, path = "/sdapi/v1/upscalers", security(("key" = ["read"])), tag = "a1111", responses((status = 200, body = Vec<Upscaler>)))]
pub async fn upscalers() -> Json<Vec<Upscaler>> {
    let upscaler = |name| Upscaler { name, model_name: None, model_path: None, model_url: None, scale: 4.0 };
    Json(UPSCALERS.iter().map(|(name, _)| upscaler(*name)).collect())
}

/// List scripts
#[utoipa::path(get, path = "/sdapi/v1/scripts", security(("key" = ["read"])), tag = "a1111", responses((status = 200, body = Scripts)))]
pub async fn scripts() -> Json<Scripts> {
    Json(Scripts::default())
}

/// List embeddings
#[utoipa::path(get, path = "/sdapi/v1/embeddings", security(("key" = ["read"])), tag = "a1111", responses((status = 200, body = Embeddings)))]
pub async fn embeddings() -> Json<Embeddings> {
    Json(Embeddings::default())
}

/// A handler that answers with an empty list, under a path.
macro_rules! nothing {
    ($name:ident, $path:literal, $title:literal) => {
        #[doc = $title]
        #[utoipa::path(get, path = $path, security(("key" = ["read"])), tag = "a1111",
                                            responses((status = 200, description = "None", body = Vec<Object>)))]
        pub async fn $name() -> Json<[Value; 0]> {
            Json([])
        }
    };
}

nothing!(vaes, "/sdapi/v1/sd-vae", "List autoencoders that could stand in for a model's own");
nothing!(loras, "/sdapi/v1/loras", "List LoRAs");
nothing!(hypernetworks, "/sdapi/v1/hypernetworks", "List hypernetworks");
nothing!(face_restorers, "/sdapi/v1/face-restorers", "List face restorers");
nothing!(realesrgan_models, "/sdapi/v1/realesrgan-models", "List Real-ESRGAN models");
nothing!(prompt_styles, "/sdapi/v1/prompt-styles", "List prompt styles");
nothing!(latent_upscale_modes, "/sdapi/v1/latent-upscale-modes", "List ways to make latents larger");
