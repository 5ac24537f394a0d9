//! Every answer that is not a success: one RFC 9457 document that OpenAI clients can read as well.
//!
//! A handler answers with a [`Problem`]. It travels as a response extension, and the outermost layer writes the document,
//! because only there the path and the request's id are known.

use std::{fmt, time::Duration};

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    error::{Code, Fault},
    http::problems,
    store::{Found, StoreError},
};

/// After which a refused client may try again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Characters of a detail or message that are sent; what users sent may be in it, and may be long.
const LONGEST: usize = 500;

/// An answer that is not a success.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    status: StatusCode,
    detail: String,
    faults: Vec<Fault>,
    headers: HeaderMap,
}

/// The result of a handler.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    /// A problem with the status that belongs to its code, and this case in words.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let status = problems::page(code).status;
        Self { code, status, detail: detail.into(), faults: Vec::new(), headers: HeaderMap::new() }
    }

    /// Fields that cannot be accepted; there must be at least one.
    pub fn invalid(faults: Vec<Fault>) -> Self {
        let detail = match faults.as_slice() {
            [one] => one.to_string(),
            many => format!("{} fields are not valid", many.len()),
        };
        Self { faults, ..Self::new(Code::InvalidRequest, detail) }
    }

    /// A model that nobody knows, named by a field of the request.
    pub fn model_not_found(message: String) -> Self {
        Self { faults: vec![Fault::new("/model", message.clone())], ..Self::new(Code::ModelNotFound, message) }
    }

    /// Nothing is found under that id or path.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no {what}"))
    }

    /// The method is not one that the path knows; the router adds `allow`.
    pub fn method() -> Self {
        Self::new(Code::InvalidRequest, "the path does not know this method").status(StatusCode::METHOD_NOT_ALLOWED)
    }

    /// The client took too long to send its request.
    pub fn slow() -> Self {
        Self::new(Code::Deadline, "the request did not arrive in time").with(header::CONNECTION, "close")
    }

    /// A failure of our own; the cause goes to the log and not to the client.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(Code::Internal, "the cause is in the server's log, under this answer's x-request-id")
    }

    /// The server is shutting down.
    pub fn draining() -> Self {
        Self::new(Code::Draining, "the server takes no new jobs because it is shutting down").retry()
    }

    /// The service cannot do its work yet, or not now.
    pub fn unready(detail: &str) -> Self {
        Self::new(Code::Internal, detail).status(StatusCode::SERVICE_UNAVAILABLE).retry()
    }

    /// A thing that was looked up by its id.
    ///
    /// # Errors
    /// 404 where there never was one, 410 where it was erased.
    pub fn unless_found<T>(found: Found<T>, what: &str) -> Result<T> {
        match found {
            Found::Here(thing) => Ok(thing),
            Found::Gone => Err(Self::new(Code::Gone, format!("this {what} was erased"))),
            Found::Missing => Err(Self::not_found(&format!("{what} of this id"))),
        }
    }

    /// The same problem under another status.
    pub fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same problem for a client that names fields otherwise and knows no 422.
    pub fn translated(mut self, rename: impl Fn(&str) -> String) -> Self {
        for fault in &mut self.faults {
            fault.pointer = rename(&fault.pointer);
        }
        self.faults.dedup_by(|a, b| a.pointer == b.pointer);
        if !self.faults.is_empty() && self.code == Code::InvalidRequest {
            let said: Vec<_> =
                self.faults.iter().map(|fault| format!("{}: {}", dotted(&fault.pointer), fault.message)).collect();
            self.detail = said.join("; ");
        }
        match self.status {
            StatusCode::UNPROCESSABLE_ENTITY => self.status(StatusCode::BAD_REQUEST),
            _ => self,
        }
    }

    /// The same problem for a client that must not send the same again by itself.
    pub fn final_for_retries(self) -> Self {
        self.with(HeaderName::from_static("x-should-retry"), "false")
    }

    /// The same problem with one more header.
    pub fn with(mut self, name: HeaderName, value: impl Into<HeaderText>) -> Self {
        self.headers.insert(name, value.into().0);
        self
    }

    /// The same problem in the words of a client that calls its fields otherwise: `name` turns each pointer into the one
    /// that the client knows.
    pub fn renamed(mut self, name: impl Fn(&str) -> String) -> Self {
        self.faults.iter_mut().for_each(|fault| fault.pointer = name(&fault.pointer));
        if let [one] = self.faults.as_slice() {
            self.detail = one.to_string();
        }
        self
    }

    /// The fields at fault.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// This case in words, short enough to be sent.
    pub fn detail(&self) -> String {
        clip(&self.detail)
    }

    /// What kind of problem it is.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The problem's document for the request to `instance`.
    pub fn document(&self, instance: &str) -> Document {
        let errors: Vec<_> =
            self.faults.iter().map(|fault| Fault::new(clip(&fault.pointer), clip(&fault.message))).collect();
        let param = errors.first().map(|fault| dotted(&fault.pointer));
        let detail = clip(&self.detail);
        Document {
            kind: format!("/problems/{}", self.code.name()),
            title: self.code.title(),
            status: self.status.as_u16(),
            instance: clip(instance),
            code: self.code,
            errors,
            error: OpenAiError { message: detail.clone(), kind: self.openai_kind(), param, code: self.code },
            detail,
        }
    }

    /// The problem as OpenAI clients read it.
    pub fn openai(&self) -> OpenAiError {
        self.document("").error
    }

    fn openai_kind(&self) -> &'static str {
        match self.status.as_u16() {
            429 => "rate_limit_error",
            400..500 => "invalid_request_error",
            _ => "server_error",
        }
    }

    /// The same problem, which may be gone after this time.
    pub fn after(self, wait: Duration) -> Self {
        let ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1);
        self.with(header::RETRY_AFTER, ms.div_ceil(1000)).with(HeaderName::from_static("retry-after-ms"), ms)
    }

    fn retry(self) -> Self {
        self.after(RETRY_AFTER)
    }
}

impl fmt::Display for Problem {
    /// The problem in words, for the shell: each fault on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.as_slice() {
            [] | [_] => f.write_str(&self.detail),
            many => many.iter().try_for_each(|fault| write!(f, "\n  {fault}")),
        }
    }
}

/// A header's value made of what is known to be printable.
#[derive(Debug)]
pub struct HeaderText(HeaderValue);

impl From<&'static str> for HeaderText {
    fn from(text: &'static str) -> Self {
        Self(HeaderValue::from_static(text))
    }
}

impl From<u32> for HeaderText {
    fn from(number: u32) -> Self {
        Self(HeaderValue::from(number))
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::new(Code::QueueFull, "as many jobs wait as the server takes").retry(),
            StoreError::FullForOwner(most) => {
                Self::new(Code::RateLimited, format!("{most} jobs of this key wait, as many as may")).retry()
            }
            StoreError::Spent { spent, allowed } => {
                let detail = format!("{spent} of the {allowed} row evaluations that this key has in a day are spent");
                Self::new(Code::RateLimited, detail).after(until_midnight()).final_for_retries()
            }
            other => Self::internal(other),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.headers_mut().extend(self.headers.clone());
        response.extensions_mut().insert(self);
        response
    }
}

/// Problem details (RFC 9457), with a member `error` for OpenAI clients.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Document {
    /// `/problems/{code}`, a page that explains it.
    #[serde(rename = "type")]
    kind: String,
    /// The code in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// This case in words.
    detail: String,
    /// The path that was asked for.
    instance: String,
    /// From the closed list.
    code: Code,
    /// The fields that cannot be accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
    /// The same in OpenAI's words.
    error: OpenAiError,
}

/// The error object that OpenAI clients read.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpenAiError {
    /// This case in words.
    message: String,
    /// `invalid_request_error`, `rate_limit_error` or `server_error`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The first field at fault, its levels parted by dots.
    param: Option<String>,
    /// From the closed list.
    code: Code,
}

/// Until the day ends (UTC).
fn until_midnight() -> Duration {
    const DAY_S: i64 = 24 * 3600;
    let left = DAY_S - Timestamp::now().as_second().rem_euclid(DAY_S);
    Duration::from_secs(left.unsigned_abs())
}

/// A pointer as OpenAI writes the place of a field, its levels parted by dots.
pub fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

/// Text that came from outside, short enough to be sent.
pub fn clip(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
