//! Who asks, as the layer of [`crate::http::auth`] found out.

use std::num::NonZeroU32;

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{
    access::{Quota, Scope, Scopes, jwt::Bearer, key::Key},
    app::Terms,
    config,
    http::error::Problem,
    job::Owner,
};

/// Who asks, and what they may.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose their jobs are.
    pub owner: Owner,
    /// What they may do.
    pub scopes: Scopes,
    /// How much of it.
    pub quota: Quota,
    /// Whether everybody's jobs are theirs to see: where keys are off, and with the scope `admin`.
    pub everything: bool,
}

impl Caller {
    /// Anybody, where no key is needed.
    pub fn anyone() -> Self {
        Self { owner: None, scopes: Scope::ALL.into(), quota: Quota::default(), everything: true }
    }

    /// The holder of a key.
    pub fn of_key(key: &Key) -> Self {
        Self::new(key.owner(), key.scopes.clone(), key.quota)
    }

    /// The holder of a token.
    pub fn of_token(bearer: Bearer) -> Self {
        Self::new(bearer.owner, bearer.scopes, Quota::default())
    }

    fn new(owner: String, scopes: Scopes, quota: Quota) -> Self {
        Self { everything: scopes.contains(&Scope::Admin), owner: Some(owner.into()), scopes, quota }
    }

    /// Whether any of these scopes is theirs.
    pub fn may(&self, any: &[Scope]) -> bool {
        self.scopes.contains(&Scope::Admin) || any.iter().any(|scope| self.scopes.contains(scope))
    }

    /// Whether a thing of that owner is theirs to see.
    pub fn sees(&self, owner: &Owner) -> bool {
        self.everything || *owner == self.owner
    }

    /// Whose jobs to list; `None`: everybody's.
    pub fn listed(&self) -> Option<Owner> {
        (!self.everything).then(|| self.owner.clone())
    }

    /// What goes with their jobs, by their own quota or else the configured one.
    pub fn terms(&self, quota: &config::Quota) -> Terms {
        Terms {
            owner: self.owner.clone(),
            queued_jobs: bound(self.quota.queued_jobs, quota.queued_jobs),
            row_evaluations_per_day: bound(self.quota.row_evaluations_per_day, quota.row_evaluations_per_day),
            ..Terms::default()
        }
    }

    /// HTTP requests that they may send in a minute.
    pub fn requests_per_minute(&self, quota: &config::Quota) -> Option<NonZeroU32> {
        NonZeroU32::new(self.quota.requests_per_minute.unwrap_or(quota.requests_per_minute))
    }

    /// Row evaluations that they may ask for in a minute.
    pub fn row_evaluations_per_minute(&self, quota: &config::Quota) -> Option<NonZeroU32> {
        NonZeroU32::new(self.quota.row_evaluations_per_minute.unwrap_or(quota.row_evaluations_per_minute))
    }
}

/// One's own number, else everybody's; 0 is no bound.
fn bound<T: Default + PartialEq>(own: Option<T>, shared: T) -> Option<T> {
    Some(own.unwrap_or(shared)).filter(|bound| *bound != T::default())
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(|| Problem::internal("a route without the layer of callers"))
    }
}
