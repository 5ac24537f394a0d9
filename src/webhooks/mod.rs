//! Webhooks: what happens to a job is told to an address that its request names, signed, and again until it is heard.
//!
//! A delivery is a row from the transaction that changes the job, so none is lost. Signatures are those of Standard Webhooks
//! (standardwebhooks.com, version 1).

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, StatusCode};
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinHandle};
use uuid::Uuid;

use crate::{
    access::Links,
    config,
    metrics::Metrics,
    store::{self, Found, Store, hooks::Delivery},
};

pub mod address;
pub mod guard;
pub mod signature;

use guard::Guard;
use signature::Signer;

/// How often deliveries that are due are looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Deliveries under way at once.
const MOST: usize = 16;

/// Between attempts; after the last one a delivery is given up, about three days after the first.
const BACK_OFF_S: [i64; 9] = [5, 60, 300, 1800, 7200, 18_000, 36_000, 72_000, 120_000];

/// Sends what is due.
pub struct Webhooks {
    store: Arc<dyn Store>,
    links: Links,
    metrics: Arc<Metrics>,
    signer: Signer,
    client: Client,
    guard: Guard,
    room: Arc<Semaphore>,
    under_way: Mutex<HashSet<Uuid>>,
}

impl Webhooks {
    /// Sends until the task is aborted.
    ///
    /// # Errors
    /// A secret that does not read, or a client that cannot be made.
    pub fn spawn(
        config: &config::Webhooks,
        signer: Signer,
        (store, links, metrics): (Arc<dyn Store>, Links, Arc<Metrics>),
    ) -> anyhow::Result<JoinHandle<()>> {
        let guard = Guard::new(&config.private_hosts);
        let client = guard.client(Duration::from_secs(config.timeout_s))?;
        let room = Arc::new(Semaphore::new(MOST));
        let under_way = Mutex::default();
        let hooks = Arc::new(Self { store, links, metrics, signer, client, guard, room, under_way });
        Ok(tokio::spawn(async move {
            let mut clock = tokio::time::interval(LOOK);
            clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                clock.tick().await;
                if let Err(cause) = hooks.look().await {
                    tracing::error!(%cause, "webhooks could not be read");
                }
            }
        }))
    }

    async fn look(self: &Arc<Self>) -> store::Result<()> {
        for delivery in self.store.due(Timestamp::now(), MOST as u32 * 2).await? {
            let Ok(permit) = self.room.clone().try_acquire_owned() else { return Ok(()) };
            if !self.hold().insert(delivery.id) {
                continue;
            }
            let hooks = self.clone();
            tokio::spawn(async move {
                let id = delivery.id;
                if let Err(cause) = hooks.deliver(delivery).await {
                    tracing::error!(%cause, "what became of a webhook was not stored; it is sent again");
                }
                hooks.hold().remove(&id);
                drop(permit);
            });
        }
        Ok(())
    }

    fn hold(&self) -> std::sync::MutexGuard<'_, HashSet<Uuid>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One attempt, and what follows from it.
    async fn deliver(&self, delivery: Delivery) -> store::Result<()> {
        let Found::Here(job) = self.store.job(delivery.job).await? else {
            return self.store.settled(delivery.id).await;
        };
        let body = json!({
            "type": format!("job.{}", delivery.event),
            "timestamp": delivery.created_at,
            "data": self.links.sign(job),
        });
        let outcome = self.send(&delivery, body.to_string()).await;
        let told = |outcome: &str| self.metrics.webhooks_total.with_label_values(&[outcome]).inc();
        let (id, attempt, job) = (delivery.id, delivery.attempt, delivery.job);
        match (outcome, BACK_OFF_S.get(attempt as usize)) {
            (Ok(()), _) => {
                told("delivered");
                self.store.settled(id).await
            }
            (Err(Refusal { cause, again: true }), Some(seconds)) => {
                told("retried");
                tracing::info!(%job, attempt, cause, seconds, "a webhook was not taken");
                let due = Timestamp::now() + SignedDuration::from_secs(*seconds);
                self.store.again(id, due).await
            }
            (Err(Refusal { cause, .. }), _) => {
                told("given_up");
                tracing::warn!(%job, attempt, cause, "a webhook is given up");
                self.store.settled(id).await
            }
        }
    }

    async fn send(&self, delivery: &Delivery, body: String) -> Result<(), Refusal> {
        let url = address::parse(&delivery.url).map_err(Refusal::for_good)?;
        self.guard.allows(&url).map_err(Refusal::for_good)?;
        let headers = self.signer.headers(&delivery.owner, delivery.id, Timestamp::now(), &body);
        let mut request = self.client.post(url).header("content-type", "application/json").body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer =
            request.send().await.map_err(|error| Refusal { cause: error.without_url().to_string(), again: true })?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(Refusal::for_good("the receiver answered 410".into())),
            status => Err(Refusal { cause: format!("the receiver answered {}", status.as_u16()), again: true }),
        }
    }
}

/// Why an attempt failed, and whether another may help.
struct Refusal {
    cause: String,
    again: bool,
}

impl Refusal {
    fn for_good(cause: String) -> Self {
        Self { cause, again: false }
    }
}
