//! How far the caller's pictures are, and their end before their time.

use std::{io::Cursor, sync::Arc};

use axum::{
    Json,
    extract::{Query, State},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use image::{ImageFormat, load_from_memory};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::{answer::stamp, desk::Call};
use crate::{
    app::App,
    http::{body, caller::Caller, error::Result},
    job::{Owner, Progress, Status},
    store::Found,
};

/// How far the caller's oldest running task is, of those that wait at `/sdapi`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SdapiProgress)]
pub struct Told {
    /// 0..1; 0 when nothing runs or waits.
    progress: f64,
    /// Seconds that are left, by what it took so far.
    eta_relative: f64,
    /// The task in the words of the original.
    #[schema(value_type = Object)]
    state: Value,
    /// The newest preview, PNG in base64.
    current_image: Option<String>,
    /// Always null.
    #[schema(value_type = Option<String>)]
    textinfo: Option<&'static str>,
    /// The name of the task.
    current_task: Option<String>,
}

/// What the page of the original asks.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = InternalProgressRequest, example = json!({ "id_task": "task(mine)", "live_preview": false }))]
pub struct Asked {
    /// The `force_task_id` of a call.
    id_task: String,
    /// Whether a preview is wanted.
    #[serde(default = "yes")]
    live_preview: bool,
    /// The preview that the client has, -1 for none.
    id_live_preview: i64,
}

/// How far one task is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InternalProgress)]
pub struct Task {
    /// Whether it runs.
    active: bool,
    /// Whether it waits.
    queued: bool,
    /// Whether it is neither.
    completed: bool,
    /// 0..1
    progress: Option<f64>,
    /// Seconds that are left.
    eta: Option<f64>,
    /// The newest preview as a data URL.
    live_preview: Option<String>,
    /// Which one it is.
    id_live_preview: Option<i64>,
    /// Waiting, or null.
    textinfo: Option<&'static str>,
}

fn yes() -> bool {
    true
}

/// A call, and how far its job is.
struct Seen {
    call: Call,
    running: bool,
    progress: Progress,
}

impl Seen {
    fn share(&self) -> f64 {
        let Some(of) = self.progress.of.filter(|of| *of > 0) else { return 0.0 };
        // 0 is what says that nothing is left to do.
        (self.progress.evaluations as f64 / of as f64).clamp(0.001, 1.0)
    }

    fn left(&self) -> f64 {
        let (share, took) = (self.share(), self.call.since.elapsed().as_secs_f64());
        if self.progress.evaluations == 0 { 0.0 } else { took / share - took }
    }
}

/// The caller's calls, running ones first, then the oldest.
async fn seen(app: &App, caller: &Owner) -> Result<Vec<Seen>> {
    let mut all = Vec::new();
    for call in app.desk.calls(caller) {
        if let Found::Here(job) = app.store.job(call.job).await?
            && !job.status.is_final()
        {
            let job = app.shown(job);
            all.push(Seen { call, running: job.status == Status::Running, progress: job.progress });
        }
    }
    all.sort_by_key(|seen| !seen.running);
    Ok(all)
}

/// See how far it is
///
/// Of the caller's calls that wait, the oldest that runs; `progress` and `job_count` are 0 when there is none.
#[utoipa::path(get, path = "/sdapi/v1/progress", security(("key" = ["read"])), tag = "a1111", responses((status = 200, body = Told)),
    params(("skip_current_image" = Option<bool>, Query, description = "Leave the preview out")))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Told>> {
    let skip =
        query.iter().any(|(key, value)| key == "skip_current_image" && ["true", "True", "1"].contains(&&**value));
    let all = seen(&app, &caller.owner).await?;
    let Some(first) = all.first() else {
        return Ok(Json(told(0.0, 0.0, state(None, 0), None)));
    };
    let image = if skip { None } else { preview(&app, &first.call).await };
    let mut told = told(first.share(), first.left(), state(Some(first), all.len()), image);
    told.current_task = Some(first.call.task.clone());
    Ok(Json(told))
}

fn told(progress: f64, eta_relative: f64, state: Value, current_image: Option<String>) -> Told {
    Told { progress, eta_relative, state, current_image, textinfo: None, current_task: None }
}

fn state(first: Option<&Seen>, calls: usize) -> Value {
    let steps = first.map_or(0, |seen| seen.call.steps);
    let at = first.map_or(0, |seen| (seen.share() * f64::from(steps)) as u32);
    json!({
        "skipped": false,
        "interrupted": false,
        "stopping_generation": false,
        "job": first.map(|seen| seen.call.task.clone()).unwrap_or_default(),
        "job_count": calls,
        "job_timestamp": stamp(Timestamp::now()),
        "job_no": 0,
        "sampling_step": at,
        "sampling_steps": steps,
    })
}

/// The newest preview of a call, as a PNG in base64.
async fn preview(app: &App, call: &Call) -> Option<String> {
    let bytes = app.engine.events().latest_preview(call.job, 0)?;
    let drawn = move || {
        let mut png = Cursor::new(Vec::new());
        load_from_memory(&bytes).ok()?.write_to(&mut png, ImageFormat::Png).ok()?;
        Some(STANDARD.encode(png.into_inner()))
    };
    spawn_blocking(drawn).await.ok().flatten()
}

/// Interrupt
///
/// The caller's running pictures end with what is there of them, and the calls that wait for them are answered with that.
#[utoipa::path(post, path = "/sdapi/v1/interrupt", security(("key" = ["generate"]), ("key" = ["edit"])), tag = "a1111", responses((status = 200, body = Object)))]
pub async fn interrupt(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Value>> {
    for seen in seen(&app, &caller.owner).await?.iter().filter(|seen| seen.running) {
        app.engine.interrupt(seen.call.job);
    }
    Ok(Json(json!({})))
}

/// Skip
///
/// As `interrupt`, for the oldest running call alone.
#[utoipa::path(post, path = "/sdapi/v1/skip", security(("key" = ["generate"]), ("key" = ["edit"])), tag = "a1111", responses((status = 200, description = "null")))]
pub async fn skip(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Value>> {
    if let Some(seen) = seen(&app, &caller.owner).await?.iter().find(|seen| seen.running) {
        app.engine.interrupt(seen.call.job);
    }
    Ok(Json(Value::Null))
}

/// See how far a task is
#[utoipa::path(post, path = "/internal/progress", security(("key" = ["read"])), tag = "a1111", request_body = Asked, responses((status = 200, body = Task)))]
pub async fn task(State(app): State<Arc<App>>, caller: Caller, body::Json(asked): body::Json) -> Result<Json<Task>> {
    let asked: Asked = super::typed(asked)?;
    let all = seen(&app, &caller.owner).await?;
    let Some(seen) = all.iter().find(|seen| seen.call.task == asked.id_task) else {
        let gone = Task { completed: true, ..task_of(None) };
        return Ok(Json(gone));
    };
    let mut task = task_of(Some(seen));
    let at = i64::try_from(seen.progress.evaluations).unwrap_or(i64::MAX);
    if asked.live_preview && at != asked.id_live_preview {
        let image = preview(&app, &seen.call).await;
        task.live_preview = image.map(|image| format!("data:image/png;base64,{image}"));
        task.id_live_preview = task.live_preview.as_ref().map(|_| at);
    }
    Ok(Json(task))
}

fn task_of(seen: Option<&Seen>) -> Task {
    let running = seen.filter(|seen| seen.running);
    let queued = seen.is_some() && running.is_none();
    Task {
        active: running.is_some(),
        queued,
        completed: false,
        progress: running.map(Seen::share),
        eta: running.map(Seen::left),
        live_preview: None,
        id_live_preview: None,
        textinfo: queued.then_some("Waiting..."),
    }
}
