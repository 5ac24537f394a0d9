//! A client that waits for its job, as long as it takes.

use std::sync::Arc;

use axum::{
    Json,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use tokio::{runtime::Handle, sync::mpsc::UnboundedReceiver};
use uuid::Uuid;

use super::{
    answer::{Answer, Told},
    request::Manner,
    stream,
};
use crate::{
    app::App,
    engine::events::Preview,
    error::Code,
    http::{
        address,
        error::{Problem, Result},
        idempotency::IDEMPOTENCY_KEY,
        submission::Placed,
    },
    job::{Job, Status},
    store::Found,
};

/// The answer to a request: its pictures once they are made, or a stream of what comes before.
///
/// # Errors
/// What the headers or the request have at fault; a job that does not succeed; the store.
pub async fn answer(app: &Arc<App>, headers: &HeaderMap, placed: Placed, manner: Manner) -> Result<Response> {
    let Placed { job, previews, .. } = placed;
    // Who sends a key may come back for the job.
    let kept = headers.contains_key(IDEMPOTENCY_KEY);
    let mut waiting = Waiting { app: app.clone(), id: job.id, previews, over: kept };
    let told = Told { base: address::base(&app.config.http, headers), manner };
    if told.manner.stream {
        return Ok(stream::answer(job, waiting, told));
    }
    let job = waiting.end().await?;
    Ok(Json(Answer::of(app, &job, &told).await?).into_response())
}

/// A job whose client waits. Dropped before the end, since the client went away, it cancels the job, unless that has an
/// idempotency key.
pub struct Waiting {
    /// The service.
    pub app: Arc<App>,
    id: Uuid,
    previews: UnboundedReceiver<Preview>,
    over: bool,
}

impl Waiting {
    /// The next preview; `None` when the job has ended, or the service is about to.
    pub async fn next(&mut self) -> Option<Preview> {
        tokio::select! {
            preview = self.previews.recv() => preview,
            () = self.app.closing.cancelled() => None,
        }
    }

    /// The job once it has succeeded.
    ///
    /// # Errors
    /// It did not, the service closes, or the store.
    pub async fn end(&mut self) -> Result<Job> {
        while self.next().await.is_some() {}
        let found = self.app.store.job(self.id).await?;
        let ended = !matches!(&found, Found::Here(job) if !job.status.is_final());
        if !ended {
            // The client is told to ask again, so that nobody will take what this job makes.
            drop(self.app.cancel(self.id).await);
        }
        self.over = true;
        let job = Problem::unless_found(found, "job")?;
        match job.status {
            Status::Succeeded => Ok(self.app.shown(job)),
            _ if !ended => Err(Problem::draining()),
            _ => Err(failed(&job)),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let (app, id) = (self.app.clone(), self.id);
        if let (false, Ok(runtime)) = (self.over, Handle::try_current()) {
            tracing::info!(job = %id, "its client went away");
            runtime.spawn(async move { app.cancel(id).await.map(drop) });
        }
    }
}

/// Why there are no pictures; asked again, the same request would fail again.
fn failed(job: &Job) -> Problem {
    let problem = match &job.error {
        Some(error) => Problem::new(error.code, error.detail.clone()),
        None => Problem::new(Code::Gone, "the job was canceled before it had ended"),
    };
    problem.final_for_retries()
}
