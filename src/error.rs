//! What can go wrong, once for each border: a `Failure` ends one run, a `Fault` refuses one field.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The closed list of error codes that clients see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A field cannot be accepted.
    InvalidRequest,
    /// The body is no JSON.
    InvalidJson,
    /// The body is of a type that is not read here.
    UnsupportedMediaType,
    /// None of the forms that the client takes can be made.
    NotAcceptable,
    /// The body is over the limit.
    BodyTooLarge,
    /// There is no such thing.
    NotFound,
    /// It was erased.
    Gone,
    /// There is no such model.
    ModelNotFound,
    /// As many jobs wait as may.
    QueueFull,
    /// The client asked too often.
    RateLimited,
    /// The same key came with another body.
    IdempotencyConflict,
    /// A key is missing or wrong.
    Unauthorized,
    /// The key does not allow it.
    Forbidden,
    /// The server is on its way down.
    Draining,
    /// The time that the client gave is over.
    Deadline,
    /// The process died under the job too often.
    AttemptsExhausted,
    /// A single row did not fit into memory.
    OutOfMemory,
    /// A result was NaN or infinite.
    NotFinite,
    /// Something of ours broke.
    Internal,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 19] = [
        Self::InvalidRequest,
        Self::InvalidJson,
        Self::UnsupportedMediaType,
        Self::NotAcceptable,
        Self::BodyTooLarge,
        Self::NotFound,
        Self::Gone,
        Self::ModelNotFound,
        Self::QueueFull,
        Self::RateLimited,
        Self::IdempotencyConflict,
        Self::Unauthorized,
        Self::Forbidden,
        Self::Draining,
        Self::Deadline,
        Self::AttemptsExhausted,
        Self::OutOfMemory,
        Self::NotFinite,
        Self::Internal,
    ];

    /// The code on the wire and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidJson => "invalid_json",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::NotAcceptable => "not_acceptable",
            Self::BodyTooLarge => "body_too_large",
            Self::NotFound => "not_found",
            Self::Gone => "gone",
            Self::ModelNotFound => "model_not_found",
            Self::QueueFull => "queue_full",
            Self::RateLimited => "rate_limited",
            Self::IdempotencyConflict => "idempotency_conflict",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Draining => "draining",
            Self::Deadline => "deadline",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::OutOfMemory => "out_of_memory",
            Self::NotFinite => "not_finite",
            Self::Internal => "internal",
        }
    }

    /// The code in words, the `title` of problems and of failed jobs.
    pub fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request is not valid",
            Self::InvalidJson => "The body is not JSON",
            Self::UnsupportedMediaType => "The content type is not supported",
            Self::NotAcceptable => "None of the accepted media types can be given",
            Self::BodyTooLarge => "The body is too large",
            Self::NotFound => "There is no such thing",
            Self::Gone => "It was erased",
            Self::ModelNotFound => "There is no such model",
            Self::QueueFull => "The queue is full",
            Self::RateLimited => "Too many requests",
            Self::IdempotencyConflict => "The idempotency key belongs to another request",
            Self::Unauthorized => "Authentication is needed",
            Self::Forbidden => "This key may not do that",
            Self::Draining => "The server is shutting down",
            Self::Deadline => "Time ran out",
            Self::AttemptsExhausted => "The job was given up after several attempts",
            Self::OutOfMemory => "The device ran out of memory",
            Self::NotFinite => "The computation left the range of numbers",
            Self::Internal => "Something failed inside darkroom",
        }
    }
}

/// Why a run ended without its pictures. It never concerns the run's neighbours.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The network or the sampler produced NaN or an infinity.
    #[error("the computation produced a number that is not finite")]
    NotFinite,
    /// Even a single row did not fit into the device's memory.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// Anything else: a torch error, a panic, a broken file.
    #[error("{0}")]
    Internal(String),
}

impl Failure {
    /// The code that clients see for this failure.
    pub fn code(&self) -> Code {
        match self {
            Self::NotFinite => Code::NotFinite,
            Self::OutOfMemory(_) => Code::OutOfMemory,
            Self::Internal(_) => Code::Internal,
        }
    }
}

impl From<tch::TchError> for Failure {
    fn from(error: tch::TchError) -> Self {
        Self::Internal(error.to_string())
    }
}

/// The result of everything that happens inside a run.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// One field of a request that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{pointer}: {message}")]
pub struct Fault {
    /// JSON pointer (RFC 6901) of the field, such as `/sampler/eta`.
    pub pointer: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Fault {
    /// A fault at `pointer`.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }

    /// The same fault, seen from a document in which this one sits under `prefix`.
    pub fn under(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}
