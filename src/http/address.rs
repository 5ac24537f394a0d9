//! What the addresses in answers begin with.

use axum::http::{HeaderMap, header, uri::Authority};

use crate::config::Http;

/// Scheme and host as clients see them, without a slash at the end: `http.public_url`, else what the request says of itself or
/// a proxy of it (`x-forwarded-proto`, `x-forwarded-host`).
pub fn base(config: &Http, headers: &HeaderMap) -> String {
    if !config.public_url.is_empty() {
        return config.public_url.trim_end_matches('/').into();
    }
    let first = |name: &str| Some(headers.get(name)?.to_str().ok()?.split(',').next()?.trim().to_owned());
    let host = |name: &str| first(name).filter(|host| host.parse::<Authority>().is_ok());
    let host = host("x-forwarded-host").or_else(|| host(header::HOST.as_str()));
    let own = !config.tls_certificate.as_os_str().is_empty();
    let secure = first("x-forwarded-proto").map_or(own, |scheme| scheme.eq_ignore_ascii_case("https"));
    format!("{}://{}", if secure { "https" } else { "http" }, host.as_ref().unwrap_or(&config.listen))
}
