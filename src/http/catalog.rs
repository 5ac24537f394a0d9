//! What can be asked for: models and the registries.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::{
    app::App,
    denoiser::Prediction,
    edit::{self, EDIT_METHODS},
    error::Code,
    guidance::GUIDANCES,
    http::{
        error::{Problem, Result},
        images::{matches, text},
    },
    model::Card,
    registry::Entry,
    sampler::{Place, SAMPLERS, Sampler},
    schedule::SCHEDULES,
    wrapper::{self, WRAPPERS},
};

/// A model, in a superset of OpenAI's shape.
#[derive(Debug, Serialize, ToSchema)]
pub struct Model {
    /// What to give as `model`.
    id: String,
    /// Always `model`.
    #[schema(value_type = String)]
    object: &'static str,
    /// Always 0: models carry no dates.
    created: u64,
    /// Always `darkroom`.
    #[schema(value_type = String)]
    owned_by: &'static str,
    /// A name for people.
    title: String,
    /// SPDX expression or a sentence.
    licence: String,
    /// What kind of model it is.
    #[schema(value_type = String)]
    family: &'static str,
    /// Of a name that stands for another model: its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    alias_of: Option<String>,
    /// Whether a request that names no model gets this one.
    default: bool,
    /// Native pixels.
    width: u32,
    /// Native pixels.
    height: u32,
    /// Pixels that width and height must be multiples of.
    size_multiple: u32,
    /// Native latent shape, channels first.
    latent_shape: [i64; 3],
    /// What the network predicts.
    prediction: Prediction,
    /// The process it was trained on: `variance_preserving`, `variance_exploding`, `flow`, or one that restores a
    /// degraded picture: `mean_reverting`, `residual`, `resfusion`.
    #[schema(value_type = String)]
    process: &'static str,
    /// Number of classes; null where the model takes no label.
    labels: Option<u32>,
    /// Whether the model reads prompts.
    reads_text: bool,
    /// What `POST /v1/features` may look into, in the order of the network.
    blocks: Vec<String>,
    /// What a request gets when it does not say.
    defaults: Defaults,
    /// Calibration files beside the weights.
    calibrations: Vec<String>,
    /// SHA-256 over the configuration and weight files.
    sha256: String,
}

/// What a request to a model gets when it does not say.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ModelDefaults)]
pub struct Defaults {
    /// Steps.
    steps: u32,
    /// Scale of the classifier-free guidance.
    guidance: f64,
    /// A name from `/v1/samplers`.
    sampler: String,
    /// A name from `/v1/schedules`.
    schedule: String,
}

/// All of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelList {
    /// Always `list`.
    #[schema(value_type = String)]
    object: &'static str,
    /// By id.
    data: Vec<Model>,
}

/// One thing that can be asked for by its name.
#[derive(Debug, Serialize, ToSchema)]
pub struct Choice {
    /// What to give as `name`.
    #[schema(value_type = String)]
    name: &'static str,
    /// A name for people.
    #[schema(value_type = String)]
    title: &'static str,
    /// Where it was published.
    #[schema(value_type = String)]
    paper: &'static str,
    /// Of samplers: the order of convergence.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Order>,
    /// Of samplers: network evaluations for one picture as a function of the steps N.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    evaluations: Option<&'static str>,
    /// Of samplers: whether noise is drawn after the start, with the default options.
    #[serde(skip_serializing_if = "Option::is_none")]
    stochastic: Option<bool>,
    /// Of samplers: the names from `/v1/wrappers` that may go around it, with the default options.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    carries: Option<Vec<&'static str>>,
    /// Of editing methods: whether it needs a mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    needs_mask: Option<bool>,
    /// Of editing methods: whether it asks what the given picture shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    asks_source: Option<bool>,
    /// Of editing methods: whether `POST /v1/inversions` takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    keeps_code: Option<bool>,
    /// Of editing methods: the sampler of a request that names none, where it is not the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    sampler: Option<Value>,
    /// Of editing methods: `strength` when a request does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    strength: Option<f64>,
    /// Of editing methods: the names from `/v1/samplers` that it goes with, with the default options. Those whose steps
    /// are given one by one it takes at strength 1 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    samplers: Option<Vec<&'static str>>,
    /// Of wrappers: where it takes hold, `start`, `network` or `step`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    place: Option<&'static str>,
    /// JSON Schema of the options.
    #[schema(value_type = Object)]
    options: Value,
}

/// How fast a sampler's error falls with the steps; null where order does not apply.
#[derive(Debug, Serialize, ToSchema)]
pub struct Order {
    /// As published.
    formal: Option<u32>,
    /// With the start and the end that requests have, by measurement on a model whose answer is known exactly.
    in_practice: Option<u32>,
}

/// A registry.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChoiceList {
    /// Always `list`.
    #[schema(value_type = String)]
    object: &'static str,
    /// In the order of the registry.
    data: Vec<Choice>,
}

/// List models
///
/// By id, and behind them the names of `openai.models` that stand for one of them.
#[utoipa::path(get, path = "/v1/models", security(("key" = ["read"])), tag = "registries", responses((status = 200, body = ModelList)))]
pub async fn models(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let own = app.catalog.iter().map(|card| describe(&app, card, &card.id));
    let data = own.chain(app.catalog.aliases().map(|(name, card)| describe(&app, card, name))).collect();
    tagged(&headers, &ModelList { object: "list", data })
}

/// Look at a model
#[utoipa::path(get, path = "/v1/models/{id}", security(("key" = ["read"])), tag = "registries", params(("id" = String, Path, description = "The model")),
    responses((status = 200, body = Model)))]
pub async fn model(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<Model>> {
    let card = app.catalog.get(Some(&id)).map_err(|message| Problem::new(Code::ModelNotFound, message))?;
    Ok(Json(describe(&app, card, &id)))
}

/// List samplers
#[utoipa::path(get, path = "/v1/samplers", security(("key" = ["read"])), tag = "registries", responses((status = 200, body = ChoiceList)))]
pub async fn samplers(headers: HeaderMap) -> Response {
    list(&headers, SAMPLERS.iter().map(sampler).collect())
}

/// List wrappers
#[utoipa::path(get, path = "/v1/wrappers", security(("key" = ["read"])), tag = "registries", responses((status = 200, body = ChoiceList)))]
pub async fn wrappers(headers: HeaderMap) -> Response {
    let place = |place| match place {
        Place::Start => "start",
        Place::Network => "network",
        Place::Step => "step",
    };
    let wrapper = |kind: &wrapper::Kind| Choice { place: Some(place(kind.place)), ..choice(&kind.entry) };
    list(&headers, WRAPPERS.iter().map(wrapper).collect())
}

/// List schedules
#[utoipa::path(get, path = "/v1/schedules", security(("key" = ["read"])), tag = "registries", responses((status = 200, body = ChoiceList)))]
pub async fn schedules(headers: HeaderMap) -> Response {
    list(&headers, SCHEDULES.iter().map(|schedule| choice(&schedule.entry)).collect())
}

/// List guidances
#[utoipa::path(get, path = "/v1/guidances", security(("key" = ["read"])), tag = "registries", responses((status = 200, body = ChoiceList)))]
pub async fn guidances(headers: HeaderMap) -> Response {
    list(&headers, GUIDANCES.iter().map(|guidance| choice(&guidance.entry)).collect())
}

/// List editing methods
#[utoipa::path(get, path = "/v1/edit-methods", security(("key" = ["read"])), tag = "registries", responses((status = 200, body = ChoiceList)))]
pub async fn edit_methods(headers: HeaderMap) -> Response {
    list(&headers, EDIT_METHODS.iter().map(edit_method).collect())
}

/// The model under one of its names.
fn describe(app: &App, card: &Card, name: &str) -> Model {
    let (width, height) = card.native();
    let given = &card.defaults;
    Model {
        id: name.into(),
        object: "model",
        created: 0,
        owned_by: "darkroom",
        title: given.title.clone(),
        licence: given.licence.clone(),
        family: card.family,
        alias_of: (*name != *card.id).then(|| card.id.to_string()),
        default: *app.catalog.default().id == *name,
        width,
        height,
        size_multiple: card.multiple,
        latent_shape: card.latent,
        prediction: card.prediction,
        process: card.process.name(),
        labels: card.labels,
        reads_text: card.text.is_some(),
        blocks: card.blocks.iter().map(|block| block.name.clone()).collect(),
        defaults: Defaults {
            steps: given.steps,
            guidance: given.guidance,
            sampler: given.sampler.clone(),
            schedule: given.schedule.clone(),
        },
        calibrations: calibrations(card),
        sha256: card.sha256.clone(),
    }
}

/// The folders in `calibration/` beside the weights.
fn calibrations(card: &Card) -> Vec<String> {
    let entries = std::fs::read_dir(card.dir.join("calibration")).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut kinds: Vec<_> = folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    kinds.sort();
    kinds
}

fn choice<T: ?Sized + 'static>(entry: &Entry<T>) -> Choice {
    Choice {
        name: entry.name,
        title: entry.title,
        paper: entry.paper,
        order: None,
        evaluations: None,
        stochastic: None,
        carries: None,
        needs_mask: None,
        asks_source: None,
        keeps_code: None,
        sampler: None,
        strength: None,
        samplers: None,
        place: None,
        options: entry.schema(),
    }
}

fn sampler(sampler: &Sampler) -> Choice {
    let solver = sampler.entry.read(serde_json::Map::new()).expect("default options are valid");
    Choice {
        order: Some(Order {
            formal: sampler.order.map(|order| order.formal),
            in_practice: sampler.order.map(|order| order.in_practice),
        }),
        evaluations: Some(sampler.evaluations),
        stochastic: Some(solver.stochastic()),
        carries: Some(wrapper::carried(solver.carries())),
        ..choice(&sampler.entry)
    }
}

fn edit_method(kind: &edit::Kind) -> Choice {
    let method = kind.method();
    let invert = method.invert();
    Choice {
        needs_mask: Some(method.hold().is_some()),
        asks_source: Some(invert.is_some()),
        keeps_code: Some(invert.is_some_and(|invert| !invert.parts(1).is_empty())),
        strength: Some(method.strength()),
        sampler: method.sampler(),
        samplers: Some(kind.samplers()),
        ..choice(&kind.entry)
    }
}

fn list(headers: &HeaderMap, data: Vec<Choice>) -> Response {
    tagged(headers, &ChoiceList { object: "list", data })
}

/// A JSON answer with an `ETag`, or 304 where the client has it already.
fn tagged(headers: &HeaderMap, answer: &impl Serialize) -> Response {
    let body = serde_json::to_vec(answer).expect("answers are JSON");
    let digest: String = Sha256::digest(&body).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{digest}\"");
    if matches(headers, &tag) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, text(&tag))]).into_response();
    }
    ([(header::ETAG, text(&tag)), (header::CONTENT_TYPE, text("application/json"))], body).into_response()
}
