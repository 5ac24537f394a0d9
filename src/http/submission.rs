//! What every route that takes a job has in common: its headers, its answers, and the way from a wish to a stored job.

use axum::{
    Json,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;
use utoipa::{IntoParams, IntoResponses};

use crate::{
    app::{App, Terms},
    engine::events::Preview,
    http::{
        caller::Caller,
        error::{Problem, Result},
        idempotency::{self, IDEMPOTENCY_KEY, REPLAYED, Wish},
        images::text,
        quota,
        valid::Valid,
        webhook,
        wishes::{PREFERENCE_APPLIED, Wishes},
    },
    job::Job,
    store::StoreError,
};

/// The headers that such a route reads besides its body.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what `Wishes` and `idempotency` read")]
pub struct Headers {
    /// `wait=N`: wait up to N seconds for the end
    #[param(required = false, nullable = true)]
    prefer: Option<String>,
    /// Seconds after which the job is canceled
    #[param(rename = "cancel-after", required = false, nullable = true)]
    cancel_after: Option<u64>,
    /// A name of this wish, drawn by the client: sent again within 24 hours, it is answered with the first one's job
    #[param(rename = "idempotency-key", required = false, nullable = true, max_length = 255)]
    idempotency_key: Option<String>,
}

/// Its answers.
#[derive(Debug, IntoResponses)]
pub enum Submitted {
    /// The job, stored
    #[response(status = 202, headers(
        ("location" = String, description = "Where the job is"),
        ("idempotency-replayed" = bool, description = "`true` where the job was there before"),
    ))]
    Stored(Job),
    /// The finished job, for clients that wait
    #[response(status = 200)]
    Ended(Job),
}

/// A job that is stored.
#[derive(Debug)]
pub struct Placed {
    /// The job.
    pub job: Job,
    /// Its previews from now on; closed at its end.
    pub previews: UnboundedReceiver<Preview>,
    /// Whether an earlier request with the same `Idempotency-Key` made it.
    pub replayed: bool,
}

/// Who asks, by which headers, at which route.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The service.
    pub app: &'a App,
    /// Who asks.
    pub caller: &'a Caller,
    /// Their headers.
    pub headers: &'a HeaderMap,
    /// Tells wishes at different routes apart.
    pub route: &'static str,
}

impl Asked<'_> {
    /// The job of a wish: stored now, unless its `Idempotency-Key` was seen before.
    ///
    /// # Errors
    /// What the headers or the wish have at fault, what the caller may not, what there is no room for; the store.
    pub async fn place<W: Wish>(&self, wish: W, accept: impl AsyncFnOnce(W) -> Result<Valid>) -> Result<Placed> {
        let Self { app, caller, headers, route } = *self;
        if app.draining() {
            return Err(Problem::draining());
        }
        let deadline = Wishes::read(headers, Timestamp::now())?.deadline;
        let once = idempotency::read(headers, route, &wish)?;
        if let Some(once) = &once
            && let Some(job) = idempotency::earlier(app, caller, once).await?
        {
            return Ok(self.joined(job));
        }
        let valid = accept(wish).await?;
        webhook::outside(app, valid.webhook.as_ref())?;
        quota::work(app, caller, valid.cost)?;
        let terms = Terms { deadline, once: once.clone(), ..caller.terms(&app.config.quota) };
        match (app.submit_watched(valid, terms).await, once) {
            (Ok((job, previews)), _) => Ok(Placed { job, previews, replayed: false }),
            // Another request with the same key was quicker.
            (Err(StoreError::Repeated), Some(once)) => {
                let job = idempotency::earlier(app, caller, &once).await?;
                Ok(self.joined(job.ok_or_else(|| Problem::internal("a key is gone"))?))
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// Whether the client may come back for the job after it went away.
    pub fn kept(&self) -> bool {
        self.headers.contains_key(IDEMPOTENCY_KEY)
    }

    fn joined(&self, job: Job) -> Placed {
        let events = self.app.engine.events();
        let previews = events.watch(job.id);
        // One that has ended closes what was opened just now.
        events.settle(&job);
        Placed { job, previews, replayed: true }
    }

    /// The answer to a wish: its job, stored, and the finished one for clients that wait.
    ///
    /// # Errors
    /// As [`Asked::place`].
    pub async fn answer<W: Wish>(&self, wish: W, accept: impl AsyncFnOnce(W) -> Result<Valid>) -> Result<Response> {
        let Placed { job, replayed, .. } = self.place(wish, accept).await?;
        let wait = Wishes::read(self.headers, Timestamp::now())?.wait;
        let ended = match wait {
            Some(wait) => self.app.wait(job.id, wait).await?,
            None => None,
        };
        let location = text(&format!("/v1/jobs/{}", job.id));
        let status = if ended.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
        let mut response = (status, [(header::LOCATION, location)], Json(ended.unwrap_or(job))).into_response();
        if let Some(wait) = wait {
            response.headers_mut().insert(PREFERENCE_APPLIED, text(&format!("wait={}", wait.as_secs())));
        }
        if replayed {
            response.headers_mut().insert(REPLAYED, text("true"));
        }
        Ok(response)
    }
}
