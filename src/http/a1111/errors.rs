//! What is not a success, in the shape and under the names that AUTOMATIC1111's clients know.

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    error::{Code, Fault},
    http::error::{Problem, clip},
};

/// An answer that is not a success.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SdapiError)]
pub struct Document {
    /// Its class, from the closed list of `/problems/{code}`.
    error: Code,
    /// This case in words.
    detail: String,
    /// Always empty.
    #[schema(value_type = String)]
    body: &'static str,
    /// Each field at fault on a line.
    errors: String,
}

/// The document of a problem.
pub fn document(problem: &Problem) -> Document {
    let line = |fault: &Fault| format!("{}: {}", clip(fault.pointer.trim_start_matches('/')), clip(&fault.message));
    let lines: Vec<_> = problem.faults().iter().map(line).collect();
    let all = lines.join("\n");
    let detail = if all.is_empty() { problem.detail() } else { all.clone() };
    Document { error: problem.code(), errors: if all.is_empty() { detail.clone() } else { all }, detail, body: "" }
}

/// A problem with a native request under the names of the dialect's own one.
pub fn translated(problem: Problem) -> Problem {
    let problem = match problem.code() {
        Code::ModelNotFound => problem.status(StatusCode::UNPROCESSABLE_ENTITY),
        _ => problem,
    };
    problem.renamed(theirs)
}

/// The pointer of the field from which a native one was made.
fn theirs(pointer: &str) -> String {
    let steps: Vec<&str> = pointer.split('/').skip(1).collect();
    let name = match steps.as_slice() {
        ["sampler", "eta"] => "eta",
        ["sampler", "s_noise"] => "s_noise",
        ["sampler", "churn"] => "s_churn",
        ["sampler", "churn_min"] => "s_tmin",
        ["sampler", "churn_max"] => "s_tmax",
        ["sampler", ..] => "sampler_name",
        ["schedule", ..] => "scheduler",
        ["guidance", ..] => "cfg_scale",
        ["count"] => "batch_size",
        ["strength"] => "denoising_strength",
        ["image", ..] => "init_images/0",
        ["model"] => "override_settings/sd_model_checkpoint",
        ["clip_skip"] => "override_settings/CLIP_stop_at_last_layers",
        _ => return pointer.to_owned(),
    };
    format!("/{name}")
}
