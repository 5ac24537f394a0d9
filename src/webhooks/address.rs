//! Addresses that requests name.

use reqwest::Url;

/// Bytes of an address at most.
const LONGEST: usize = 2048;

/// The address that a request names.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<Url, String> {
    if text.len() > LONGEST {
        return Err(format!("has {} bytes; {LONGEST} are allowed", text.len()));
    }
    let url = Url::parse(text).map_err(|error| format!("is no address: {error}"))?;
    if !["http", "https"].contains(&url.scheme()) || url.host().is_none() {
        return Err("must begin with http:// or https://".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a name or password: what comes is signed instead".into());
    }
    Ok(url)
}
