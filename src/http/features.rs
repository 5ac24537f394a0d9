//! `POST /v1/features`: from pictures to a stored job that leaves what the network sees in them.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use serde_json::Value;

use crate::{
    app::App,
    error::Fault,
    http::{
        body,
        caller::Caller,
        error::{Problem, Result},
        features_request::FeaturesRequest,
        pictures::{Incoming, read},
        submission::{Asked, Headers, Submitted},
        valid::{Check, Valid, Wanted, draw_seed},
    },
    job::{Features, Pool, PromptSyntax},
    limits,
    model::Card,
    task::Cards,
};

/// Logarithms of signal to noise at which networks tell changes best (Bandara et al. 2025, arXiv 2206.11892, table 5).
const TELLING: [f64; 3] = [2.54, 1.84, 0.355];

/// Ask what the network sees in a picture
///
/// The job leaves one file: activations `{block}.t{time}`, or for two pictures the map `change` of what differs, which comes
/// as a grey picture too. Headers and answers are those of a generation.
#[utoipa::path(post, path = "/v1/features", security(("key" = ["edit"])), tag = "generations", request_body = FeaturesRequest,
    params(Headers), responses(Submitted))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    body::Json(document): body::Json,
) -> Result<Response> {
    let asked = Asked { app: &app, caller: &caller, headers: &headers, route: "features" };
    asked.answer(document, async |document| accept(&app, &caller, document).await).await
}

/// The valid wish in a document; its pictures are stored as blobs by then, but only if all of it is valid.
///
/// # Errors
/// Every fault, or a model that nobody knows.
pub async fn accept(app: &App, caller: &Caller, document: Value) -> Result<Valid> {
    let (request, mut faults) = FeaturesRequest::read(document).map_err(Problem::invalid)?;
    let card = app.catalog.get(request.model.as_deref()).map_err(Problem::model_not_found)?;
    let mut pictures = Vec::new();
    for (pointer, given) in [("/image", &request.image), ("/image_b", &request.image_b)] {
        let picture = read((app, caller), pointer, None, given.as_ref()).await?;
        pictures.push(picture.map_err(|fault| faults.push(fault)).ok().flatten());
    }
    let wanted = Wanted { limits: &app.config.limits, latents: None, faults };
    let cards = |id: &str| app.catalog.get(Some(id)).cloned();
    let valid = features(request, &pictures, (card, &cards), wanted).map_err(Problem::invalid)?;
    for picture in pictures.into_iter().flatten() {
        app.blobs.put_input(picture.bytes).await?;
    }
    Ok(valid)
}

/// Checks a wish against its model and fills in every default, as [`valid::generation`](super::valid::generation) does.
fn features(
    request: FeaturesRequest,
    pictures: &[Option<Incoming>],
    model: (&Arc<Card>, Cards),
    wanted: Wanted,
) -> Result<Valid, Vec<Fault>> {
    let (mut check, _) = Check::new(model, wanted);
    let features = check.features(request, pictures);
    check.finish(features)
}

impl Check<'_> {
    /// `None` beside a fault.
    fn features(&mut self, request: FeaturesRequest, pictures: &[Option<Incoming>]) -> Option<Features> {
        let [image, image_b] = pictures else { return None };
        self.frames("/image", image.as_ref());
        self.frames("/image_b", image_b.as_ref());
        if image.is_none() && !self.at_fault("/image") {
            self.fault("/image", "is missing: there is nothing to look at");
        }
        let (width, height) = self.size(request.width, request.height);
        let seed = request.seed.unwrap_or_else(draw_seed);
        self.faults.extend(limits::seeds(seed, 1));
        self.faults.extend(limits::metadata(&request.metadata));
        self.webhook(request.webhook);
        self.label("/label", request.label);
        self.prompt("/prompt", &request.prompt, PromptSyntax::Plain);
        let timesteps = self.times(request.timesteps);
        let blocks = self.blocks(request.blocks);
        if request.pool == Pool::None && image_b.is_none() {
            self.activations((width, height), &blocks, timesteps.len());
        }
        Some(Features {
            model: self.card.id.to_string(),
            image: image.as_ref()?.reference(),
            image_b: image_b.as_ref().map(Incoming::reference),
            resize: request.resize,
            label: request.label,
            prompt: request.prompt,
            seed,
            width,
            height,
            timesteps,
            blocks,
            pool: request.pool,
            priority: request.priority,
            metadata: request.metadata,
        })
    }

    fn times(&mut self, given: Option<Vec<f64>>) -> Vec<f64> {
        let process = &self.card.process;
        let (low, high) = process.range();
        let telling = || TELLING.map(|lambda| process.at_lambda(lambda).t).to_vec();
        let whole = process.integer_times();
        let times = given.unwrap_or_else(|| telling().into_iter().map(|t| if whole { t.round() } else { t }).collect());
        if times.is_empty() {
            self.fault("/timesteps", "must have at least one time");
        }
        for (at, t) in times.iter().enumerate() {
            if !(low..=high).contains(t) || (whole && t.fract() != 0.0) || process.at(*t).sigma <= 0.0 {
                let kind = if whole { "a whole number" } else { "a number" };
                self.fault(&format!("/timesteps/{at}"), format!("must be {kind} from {low} to {high}"));
            } else if times[..at].contains(t) {
                self.fault(&format!("/timesteps/{at}"), "is there twice");
            }
        }
        times
    }

    fn blocks(&mut self, given: Option<Vec<String>>) -> Vec<String> {
        let known: Vec<&str> = self.card.blocks.iter().map(|block| block.name.as_str()).collect();
        if known.is_empty() {
            self.fault("/model", format!("`{}` has no blocks that could be looked into", self.card.id));
            return Vec::new();
        }
        let upper = || known.iter().filter(|name| name.matches('.').count() == 1 && name.starts_with("up")).copied();
        let blocks = given.unwrap_or_else(|| upper().map(str::to_owned).collect());
        if blocks.is_empty() {
            self.fault("/blocks", "must name at least one block");
        }
        for (at, block) in blocks.iter().enumerate() {
            if !known.contains(&block.as_str()) {
                self.fault(&format!("/blocks/{at}"), format!("`{block}` is not one of {}", known.join(", ")));
            } else if blocks[..at].contains(block) {
                self.fault(&format!("/blocks/{at}"), "is there twice");
            }
        }
        blocks
    }

    /// Activations that are kept whole are not too many bytes.
    fn activations(&mut self, (width, height): (u32, u32), blocks: &[String], times: usize) {
        let [_, h, w] = self.card.latent_for(width, height);
        let known = self.card.blocks.iter().filter(|block| blocks.contains(&block.name));
        let numbers: u64 = known.map(|block| block.numbers([h, w])).sum();
        let (bytes, most) = (4 * numbers * times as u64, self.limits.feature_bytes);
        if bytes > most {
            let message =
                format!("give {bytes} bytes at these times; limits.feature_bytes allows {most}: name fewer, or pool");
            self.fault("/blocks", message);
        }
    }
}
