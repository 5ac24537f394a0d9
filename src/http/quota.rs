//! What a key may ask for in a minute, and how its holder is told.

use std::time::Duration;

use axum::{
    http::{HeaderName, HeaderValue},
    response::Response,
};

use crate::{
    app::App,
    error::{Code, Fault},
    http::{
        caller::Caller,
        error::{Problem, Result},
    },
    limits::Cost,
    meters::{Standing, TooFast, Unit},
};

/// Counts a request; answers how its caller stands, where they have a limit.
///
/// # Errors
/// 429
pub fn request(app: &App, caller: &Caller) -> Result<Option<Standing>> {
    let limit = caller.requests_per_minute(&app.config.quota);
    let (Some(owner), Some(limit)) = (&caller.owner, limit) else { return Ok(None) };
    match app.door.meters.count(owner, Unit::Requests, limit, 1) {
        Ok(standing) => Ok(Some(standing)),
        Err(TooFast::After(wait)) => Err(too_fast(format!("the key may send {limit} requests in a minute"), wait)
            .with(HeaderName::from_static("ratelimit-limit"), limit.get())
            .with(HeaderName::from_static("ratelimit-remaining"), 0)),
        Err(TooFast::Never) => Err(Problem::internal("one request is more than any limit")),
    }
}

/// Counts the work of a job.
///
/// # Errors
/// 429; 422 where it is more than any minute allows.
pub fn work(app: &App, caller: &Caller, cost: Cost) -> Result<()> {
    let limit = caller.row_evaluations_per_minute(&app.config.quota);
    let (Some(owner), Some(limit)) = (&caller.owner, limit) else { return Ok(()) };
    let work = cost.work;
    match app.door.meters.count(owner, Unit::Work, limit, u32::try_from(work).unwrap_or(u32::MAX)) {
        Ok(_) => Ok(()),
        Err(TooFast::After(wait)) => {
            Err(too_fast(format!("this is {work} row evaluations, and the key may ask for {limit} in a minute"), wait))
        }
        Err(TooFast::Never) => {
            let message =
                format!("is {work} row evaluations of the native size; the key may ask for {limit} in a minute");
            Err(Problem::invalid(vec![Fault::new("/steps", message)]))
        }
    }
}

fn too_fast(detail: String, wait: Duration) -> Problem {
    Problem::new(Code::RateLimited, detail).after(wait)
}

/// Says in an answer how its caller stands.
pub fn tell(mut response: Response, standing: Option<Standing>) -> Response {
    let Some(Standing { limit, remaining, reset }) = standing else { return response };
    let seconds = reset.as_secs() + u64::from(reset.subsec_nanos() > 0);
    let values = [("limit", u64::from(limit)), ("remaining", u64::from(remaining)), ("reset", seconds)];
    for (name, value) in values {
        let name = HeaderName::try_from(format!("ratelimit-{name}")).expect("it is a header's name");
        response.headers_mut().insert(name, HeaderValue::from(value));
    }
    response
}
