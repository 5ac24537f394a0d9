//! The API of AUTOMATIC1111's web UI, for the clients that speak it: translated at the border into native requests.
//!
//! A file for each group of routes; [`native`] turns a wish into a request, [`run`] makes it, [`errors`] says in the
//! original's words what was wrong. What is one global state there is kept for each caller at a [`desk`].

use std::{sync::Arc, time::Instant};

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue},
    middleware::{Next, from_fn},
    response::Response,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    app::App,
    http::{
        error::{Problem, Result},
        request,
    },
};

pub mod answer;
pub mod canvas;
pub mod catalog;
pub mod desk;
pub mod errors;
pub mod img2img;
pub mod infotext;
pub mod names;
pub mod native;
pub mod options;
pub mod pictures;
pub mod png_info;
pub mod progress;
pub mod read;
pub mod run;
pub mod service;
pub mod settings;
pub mod txt2img;
pub mod upscale;
pub mod wish;

/// Seconds that an answer took, as the original's server tells.
const PROCESS_TIME: HeaderName = HeaderName::from_static("x-process-time");

/// Every route of the dialect.
pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(txt2img::create))
        .routes(routes!(img2img::create))
        .routes(routes!(progress::show))
        .routes(routes!(progress::interrupt))
        .routes(routes!(progress::skip))
        .routes(routes!(progress::task))
        .routes(routes!(options::show, options::set))
        .routes(routes!(options::flags))
        .routes(routes!(catalog::samplers))
        .routes(routes!(catalog::schedulers))
        .routes(routes!(catalog::models))
        .routes(routes!(catalog::upscalers))
        .routes(routes!(catalog::scripts))
        .routes(routes!(catalog::embeddings))
        .routes(routes!(catalog::vaes))
        .routes(routes!(catalog::loras))
        .routes(routes!(catalog::hypernetworks))
        .routes(routes!(catalog::face_restorers))
        .routes(routes!(catalog::realesrgan_models))
        .routes(routes!(catalog::prompt_styles))
        .routes(routes!(catalog::latent_upscale_modes))
        .routes(routes!(png_info::show))
        .routes(routes!(upscale::one))
        .routes(routes!(upscale::many))
        .routes(routes!(service::memory))
        .routes(routes!(service::interrogate))
        .routes(routes!(service::refresh))
        .routes(routes!(service::unload))
        .routes(routes!(service::reload))
        .layer(from_fn(timed))
}

async fn timed(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let mut response = next.run(request).await;
    if let Ok(seconds) = HeaderValue::from_str(&format!("{:.4}", began.elapsed().as_secs_f64())) {
        response.headers_mut().insert(PROCESS_TIME, seconds);
    }
    response
}

/// A document as its type reads it.
///
/// # Errors
/// A body that is no object, or the first field of a wrong type.
fn typed<T: DeserializeOwned>(document: Value) -> Result<T> {
    let Value::Object(mut fields) = document else {
        return Err(Problem::invalid(vec![crate::error::Fault::new("", "the body must be a JSON object")]));
    };
    fields.retain(|_, value| !value.is_null());
    request::typed(fields, Vec::new()).map(|(read, _)| read).map_err(Problem::invalid)
}
