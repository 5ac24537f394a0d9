//! The audit log: who changed what, or tried to. Paths and ids, never what was asked for.

use axum::{
    http::{Method, StatusCode, header},
    response::Response,
};
use tracing::info;

use crate::{http::caller::Caller, telemetry};

/// What is known of a request before it is answered.
pub struct Deed<'a> {
    /// The request's id.
    pub request: &'a str,
    /// Its method.
    pub method: &'a Method,
    /// Its path, without the query.
    pub path: &'a str,
}

impl Deed<'_> {
    /// Notes what became of it, if it changed something or was turned away.
    pub fn note(&self, response: &Response) {
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&response.status());
        let changes = [Method::POST, Method::DELETE].contains(self.method);
        if !changes && !refused {
            return;
        }
        let owner = response.extensions().get::<Caller>().and_then(|caller| caller.owner.as_deref());
        let made = response.headers().get(header::LOCATION).and_then(|place| place.to_str().ok());
        info!(
            target: telemetry::AUDIT,
            request = self.request,
            owner,
            method = %self.method,
            path = self.path,
            status = response.status().as_u16(),
            made,
        );
    }
}
