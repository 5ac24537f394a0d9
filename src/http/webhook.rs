//! The wire form of a webhook.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    app::App,
    error::Fault,
    http::error::{Problem, Result},
    store::hooks::{HookEvent, Webhook},
    webhooks::address,
};

/// Where the news of a job go, signed as Standard Webhooks says.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookWish {
    /// An `https://` or `http://` address outside the server's own network.
    #[schema(max_length = 2048)]
    pub url: String,
    /// Which news; the ends when left out.
    #[serde(default = "ends")]
    #[schema(max_items = 4, default = json!(["succeeded", "failed", "canceled"]))]
    pub events: Vec<HookEvent>,
}

fn ends() -> Vec<HookEvent> {
    HookEvent::ENDS.to_vec()
}

impl WebhookWish {
    /// The webhook that is meant.
    ///
    /// # Errors
    /// An address that cannot be one, or no events.
    pub fn valid(self) -> Result<Webhook, Fault> {
        address::parse(&self.url).map_err(|message| Fault::new("/webhook/url", message))?;
        if self.events.is_empty() {
            return Err(Fault::new("/webhook/events", "must name at least one event"));
        }
        Ok(Webhook { url: self.url, events: self.events })
    }
}

/// Refuses an address that shows by itself that it lies inside; names are looked up when something is sent.
///
/// # Errors
/// 422
pub fn outside(app: &App, webhook: Option<&Webhook>) -> Result<()> {
    let url = webhook.and_then(|webhook| address::parse(&webhook.url).ok());
    let refused = url.and_then(|url| app.door.guard.allows(&url).err());
    refused.map_or(Ok(()), |message| Err(Problem::invalid(vec![Fault::new("/webhook/url", message)])))
}
