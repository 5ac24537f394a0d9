//! Finds out who asks and whether they may: before any handler, for every route, from what the API's description says.
//!
//! A route's `security` names the scopes of which one is needed; a route that says nothing needs `admin`, so that what is
//! forgotten is closed. What an id in a path names must be the caller's, or it is not found.

use std::{collections::HashMap, sync::Arc};

use axum::{
    RequestExt,
    extract::{MatchedPath, RawPathParams, Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use utoipa::openapi::{OpenApi, path::Operation};
use uuid::Uuid;

use crate::{
    access::{Scope, Secret},
    app::App,
    error::Code,
    http::{
        caller::Caller,
        error::{Problem, Result},
        quota,
    },
};

/// The name of the security scheme in the API's description.
pub const SCHEME: &str = "key";

/// What routes need, by method and path.
#[derive(Clone, Debug, Default)]
pub struct Needs(Arc<HashMap<(Method, String), Vec<Scope>>>);

impl Needs {
    /// As the API's description says; an empty list of scopes opens a route to all.
    pub fn of(api: &OpenApi) -> Self {
        let mut needs = HashMap::new();
        for (path, item) in &api.paths.paths {
            let operations = [(Method::GET, &item.get), (Method::POST, &item.post), (Method::DELETE, &item.delete)];
            for (method, operation) in operations {
                if let Some(operation) = operation {
                    needs.insert((method, path.clone()), scopes(operation));
                }
            }
        }
        Self(Arc::new(needs))
    }

    /// The scopes of which one is needed; none: open to all.
    fn scopes(&self, method: &Method, route: Option<&str>) -> &[Scope] {
        const PAGES: [&str; 2] = ["/docs", "/docs/"];
        let Some(route) = route else { return &[] };
        let method = if method == Method::HEAD { &Method::GET } else { method };
        match self.0.get(&(method.clone(), route.to_owned())) {
            Some(scopes) => scopes,
            None if PAGES.iter().any(|page| route.starts_with(page)) => &[],
            // Such a method is answered 405, which is no secret.
            None if self.0.keys().any(|(_, known)| known == route) => &[],
            None => &[Scope::Admin],
        }
    }
}

fn scopes(operation: &Operation) -> Vec<Scope> {
    let Some(security) = &operation.security else { return vec![Scope::Admin] };
    let named = |requirement| serde_json::to_value(requirement).expect("a requirement is JSON")[SCHEME].clone();
    let names = security.iter().filter_map(|requirement| named(requirement).as_array().cloned()).flatten();
    names.filter_map(|name| name.as_str()?.parse().ok()).collect()
}

/// The layer.
pub async fn admit(State((app, needs)): State<(Arc<App>, Needs)>, mut request: Request, next: Next) -> Response {
    let caller = match admitted(&app, &needs, &mut request).await {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    let standing = match quota::request(&app, &caller) {
        Ok(standing) => standing,
        Err(problem) => return problem.into_response(),
    };
    request.extensions_mut().insert(caller.clone());
    let mut response = next.run(request).await;
    response.extensions_mut().insert(caller);
    quota::tell(response, standing)
}

async fn admitted(app: &App, needs: &Needs, request: &mut Request) -> Result<Caller> {
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let scopes = needs.scopes(request.method(), route.as_deref());
    let metrics = route.as_deref() == Some("/metrics") && app.config.auth.public_metrics;
    if !app.door.guarded || scopes.is_empty() || metrics || by_link(app, request) {
        return Ok(Caller::anyone());
    }
    let caller = identify(app, request.headers()).await?.ok_or_else(unknown)?;
    if !caller.may(scopes) {
        let names = scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(" or ");
        return Err(Problem::new(Code::Forbidden, format!("this needs a key with the scope {names}")));
    }
    own(app, &caller, route.as_deref().unwrap_or_default(), request).await?;
    Ok(caller)
}

/// Whether the address itself is signed, which opens nothing but what it names.
fn by_link(app: &App, request: &Request) -> bool {
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    let query = request.uri().query().filter(|_| reads).unwrap_or_default();
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let (Some(expires), Some(signature)) = (value("expires"), value("signature")) else { return false };
    expires
        .parse()
        .is_ok_and(|expires| app.door.links.open(request.uri().path(), (expires, signature), Timestamp::now()))
}

/// Who the header's key or token belongs to.
async fn identify(app: &App, headers: &HeaderMap) -> Result<Option<Caller>> {
    let Some(given) = credential(headers) else { return Ok(None) };
    if let Ok(secret) = given.parse::<Secret>() {
        let found = app.store.find_key(secret.id).await?;
        let opens = secret.opens(found.as_ref().map(|(_, sealed)| sealed), Timestamp::now());
        let key = found.filter(|(key, _)| opens && key.revoked_at.is_none());
        return Ok(key.map(|(key, _)| Caller::of_key(&key)));
    }
    let Some(tokens) = &app.door.tokens else { return Ok(None) };
    Ok(tokens.read(&given).await.map(Caller::of_token))
}

/// A bearer's key or token (RFC 6750), or the password of a client that only knows names and passwords (RFC 7617).
fn credential(headers: &HeaderMap) -> Option<String> {
    let (scheme, given) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(given.trim().to_owned()),
        "basic" => {
            let pair = String::from_utf8(BASE64_STANDARD.decode(given.trim()).ok()?).ok()?;
            Some(pair.split_once(':')?.1.to_owned())
        }
        _ => None,
    }
}

fn unknown() -> Problem {
    let detail = "send a key that works as `Authorization: Bearer dk_...`; `darkroom keys add` makes one";
    Problem::new(Code::Unauthorized, detail).with(header::WWW_AUTHENTICATE, "Bearer, Basic realm=\"darkroom\"")
}

/// What the path names by its id is the caller's.
///
/// # Errors
/// 404: that it exists is a secret.
async fn own(app: &App, caller: &Caller, route: &str, request: &mut Request) -> Result<()> {
    let things = [("/v1/jobs/{id}", "job"), ("/v1/images/{id}", "picture"), ("/v1/files/{id}", "file")];
    let Some((_, what)) = things.into_iter().find(|(prefix, _)| route.starts_with(prefix)) else { return Ok(()) };
    if caller.everything {
        return Ok(());
    }
    let parameters: RawPathParams = request.extract_parts().await.map_err(Problem::internal)?;
    let id = parameters.iter().find(|(name, _)| *name == "id").and_then(|(_, id)| Uuid::try_parse(id).ok());
    let owner = match id {
        Some(id) => app.store.owner(id).await?,
        None => None,
    };
    match owner {
        Some(owner) if caller.sees(&owner) => Ok(()),
        _ => Err(Problem::not_found(&format!("{what} of this id"))),
    }
}
