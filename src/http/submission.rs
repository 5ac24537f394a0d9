//! What every route that takes a job has in common, as the API's description says it.

use utoipa::{IntoParams, IntoResponses};

use crate::job::Job;

/// The headers that such a route reads besides its body.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what `Wishes` reads")]
pub struct Headers {
    /// `wait=N`: wait up to N seconds for the end
    #[param(required = false, nullable = true)]
    prefer: Option<String>,
    /// Seconds after which the job is canceled
    #[param(rename = "cancel-after", required = false, nullable = true)]
    cancel_after: Option<u64>,
}

/// Its answers.
#[derive(Debug, IntoResponses)]
pub enum Submitted {
    /// The job, stored
    #[response(status = 202, headers(("location" = String, description = "Where the job is")))]
    Stored(Job),
    /// The finished job, for clients that wait
    #[response(status = 200)]
    Ended(Job),
}
