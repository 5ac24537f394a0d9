//! JSON web tokens (RFC 7519), checked against a set of keys (RFC 7517) in a file or at an address.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{AlgorithmParameters, JwkSet},
};
use serde::Deserialize;

use super::{Scope, Scopes};
use crate::config::Auth;

/// How long a set of keys is believed.
const FRESH: Duration = Duration::from_secs(600);

/// How often it is read again at most, whatever tokens come.
const PAUSE: Duration = Duration::from_secs(10);

/// How long an address may take to give its set.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is signed with keys that nobody else has; a token signed with a shared secret could be made by whoever reads the set.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Checks tokens.
pub struct Tokens {
    source: String,
    issuer: String,
    audience: String,
    client: reqwest::Client,
    keys: Mutex<Option<(Instant, JwkSet)>>,
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// Whose its jobs are.
    pub owner: String,
    /// What it may do.
    pub scopes: Scopes,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// RFC 8693: names parted by blanks. Others are somebody else's business.
    #[serde(default)]
    scope: String,
}

impl Tokens {
    /// A checker for what `[auth]` says; `None` where it names no set of keys.
    ///
    /// # Errors
    /// A set without an audience or an issuer: any token of anybody would open this service.
    pub fn new(config: &Auth) -> anyhow::Result<Option<Self>> {
        if config.jwks.is_empty() {
            return Ok(None);
        }
        anyhow::ensure!(
            !config.issuer.is_empty() && !config.audience.is_empty(),
            "auth.jwks needs auth.issuer and auth.audience: tokens made for other services must not open this one"
        );
        let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
        let (source, issuer, audience) = (config.jwks.clone(), config.issuer.clone(), config.audience.clone());
        Ok(Some(Self { source, issuer, audience, client, keys: Mutex::default() }))
    }

    /// What a token says, if it is good.
    pub async fn read(&self, token: &str) -> Option<Bearer> {
        let header = decode_header(token).ok()?;
        if !ALGORITHMS.contains(&header.alg) {
            return None;
        }
        let key = self.key(header.kid.as_deref()?).await?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        let claims = decode::<Claims>(token, &key, &validation).ok()?.claims;
        let scopes = claims.scope.split_whitespace().filter_map(|name| name.parse::<Scope>().ok()).collect();
        Some(Bearer { owner: format!("jwt:{}", claims.sub), scopes })
    }

    /// The key of that id; the set is read anew when it is old or does not know the id.
    async fn key(&self, id: &str) -> Option<DecodingKey> {
        let known = self.find(id);
        match known {
            Ok(key) => Some(key),
            Err(Stale) => {
                self.refresh().await;
                self.find_anyhow(id)
            }
        }
    }

    fn find(&self, id: &str) -> Result<DecodingKey, Stale> {
        let keys = self.keys.lock().map_err(|_| Stale)?;
        let (read, set) = keys.as_ref().ok_or(Stale)?;
        match decoding_key(set, id) {
            Some(key) if read.elapsed() < FRESH => Ok(key),
            _ => Err(Stale),
        }
    }

    fn find_anyhow(&self, id: &str) -> Option<DecodingKey> {
        decoding_key(&self.keys.lock().ok()?.as_ref()?.1, id)
    }

    async fn refresh(&self) {
        let soon = |keys: &Option<(Instant, JwkSet)>| keys.as_ref().is_some_and(|(read, _)| read.elapsed() < PAUSE);
        if self.keys.lock().is_ok_and(|keys| soon(&keys)) {
            return;
        }
        match self.load().await {
            Ok(set) => drop(self.keys.lock().map(|mut keys| *keys = Some((Instant::now(), set)))),
            Err(cause) => tracing::warn!(%cause, source = self.source, "auth.jwks could not be read"),
        }
    }

    async fn load(&self) -> anyhow::Result<JwkSet> {
        let bytes = match self.source.starts_with("http://") || self.source.starts_with("https://") {
            true => self.client.get(&self.source).send().await?.error_for_status()?.bytes().await?.to_vec(),
            false => tokio::fs::read(&self.source).await?,
        };
        Ok(serde_json::from_slice(&bytes)?)
    }
}

struct Stale;

fn decoding_key(set: &JwkSet, id: &str) -> Option<DecodingKey> {
    let jwk = set.find(id)?;
    match jwk.algorithm {
        AlgorithmParameters::OctetKey(_) => None,
        _ => DecodingKey::from_jwk(jwk).ok(),
    }
}
