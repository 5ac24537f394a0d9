//! In whose words a problem is written: the path says whose clients ask.

use crate::http::{a1111, error::Problem};

/// A family of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Our own, and OpenAI's, which read the same document.
    Native,
    /// AUTOMATIC1111's.
    A1111,
}

impl Dialect {
    /// The clients of a path.
    pub fn of(path: &str) -> Self {
        let theirs = ["/sdapi/", "/internal/"].iter().any(|prefix| path.starts_with(prefix));
        if theirs { Self::A1111 } else { Self::Native }
    }

    /// The media type and the bytes of a problem's document for the request to `instance`.
    pub fn write(self, problem: &Problem, instance: &str) -> (&'static str, Vec<u8>) {
        let (kind, document) = match self {
            Self::Native => ("application/problem+json", serde_json::to_vec(&problem.document(instance))),
            Self::A1111 => ("application/json", serde_json::to_vec(&a1111::errors::document(problem))),
        };
        (kind, document.expect("a problem is JSON"))
    }
}
