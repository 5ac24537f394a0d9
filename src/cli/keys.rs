use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use uuid::Uuid;

use super::{Misuse, print};
use crate::{
    access::{Key, Quota, Scope, Sealed, Secret},
    app::kept,
    config::Config,
    store::{keys::Keys, sqlite::SqliteStore},
    webhooks::signature::Signer,
};

/// Add, list, rotate and revoke the API keys of a service, which may run meanwhile: changes hold from its next request on.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Add(Add),
    /// List keys: names, scopes, dates, never secrets
    List,
    Rotate(Rotate),
    /// Print the secret that checks the signatures of a key's webhooks
    WebhookSecret {
        /// The key's name; left out where the service needs no keys
        name: Option<String>,
    },
    /// End a key for good; what it made stays
    Revoke {
        /// The key's name
        name: String,
    },
}

/// Add a key and print it, this once
#[derive(Debug, Args)]
struct Add {
    /// A name for people, such as the frontend that gets the key
    name: String,
    /// What it may do: generate, edit, read, admin (all, and everybody's jobs)
    #[arg(long, value_delimiter = ',', default_value = "generate,edit,read")]
    scopes: Vec<Scope>,
    /// How long it works, such as 90d or 12h; for ever when left out
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires: Option<SignedDuration>,
    /// HTTP requests in a minute; 0 for any number, `quota.requests_per_minute` when left out
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u32>,
    /// Row evaluations in a minute (evaluations x rows, in units of the native size)
    #[arg(long, value_name = "N")]
    row_evaluations_per_minute: Option<u32>,
    /// Row evaluations in a day (UTC)
    #[arg(long, value_name = "N")]
    row_evaluations_per_day: Option<u64>,
    /// Jobs that may wait
    #[arg(long, value_name = "N")]
    queued_jobs: Option<u32>,
}

/// Give a key a new secret and print it; the old ones work on for a while
#[derive(Debug, Args)]
struct Rotate {
    /// The key's name
    name: String,
    /// How long the old secrets work on
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "24h")]
    grace: SignedDuration,
    /// How long the new one works, such as 90d; for ever when left out
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires: Option<SignedDuration>,
}

impl Arguments {
    /// Does it in the configured database.
    pub async fn run(self, config: Config) -> anyhow::Result<()> {
        let url = &config.store.database_url;
        let store = SqliteStore::open_beside(url).await.with_context(|| format!("store.database_url {url}"))?;
        match self.command {
            Command::Add(add) => add.run(&store).await,
            Command::List => list(&store).await,
            Command::Rotate(rotate) => rotate.run(&store).await,
            Command::WebhookSecret { name } => webhook_secret(&store, &config, name).await,
            Command::Revoke { name } => revoke(&store, &name).await,
        }
    }
}

impl Add {
    async fn run(self, store: &SqliteStore) -> anyhow::Result<()> {
        if self.name.trim().is_empty() {
            return Err(Misuse("a key needs a name".into()).into());
        }
        let now = Timestamp::now();
        let key = Key {
            id: Uuid::now_v7(),
            name: self.name,
            scopes: self.scopes.into_iter().collect(),
            quota: Quota {
                requests_per_minute: self.requests_per_minute,
                row_evaluations_per_minute: self.row_evaluations_per_minute,
                row_evaluations_per_day: self.row_evaluations_per_day,
                queued_jobs: self.queued_jobs,
            },
            created_at: now,
            revoked_at: None,
        };
        let secret = Secret::draw()?;
        if !store.add_key(&key, &secret.seal(now, after(now, self.expires)?)).await? {
            bail!("there is a key `{}` already; revoke or rotate it, or choose another name", key.name);
        }
        print(&secret.reveal())
    }
}

impl Rotate {
    async fn run(self, store: &SqliteStore) -> anyhow::Result<()> {
        let (now, secret) = (Timestamp::now(), Secret::draw()?);
        let sealed = secret.seal(now, after(now, self.expires)?);
        if !store.rotate_key(&self.name, &sealed, now.checked_add(self.grace)?).await? {
            bail!("there is no key `{}` that works; `darkroom keys list` shows all", self.name);
        }
        print(&secret.reveal())
    }
}

async fn revoke(store: &SqliteStore, name: &str) -> anyhow::Result<()> {
    if !store.revoke_key(name).await? {
        bail!("there is no key `{name}` that works; `darkroom keys list` shows all");
    }
    Ok(())
}

async fn webhook_secret(store: &SqliteStore, config: &Config, name: Option<String>) -> anyhow::Result<()> {
    let signer = Signer::new(kept(store, "webhook_secret", &config.webhooks.secret).await?);
    let owner = match &name {
        None => None,
        Some(name) => {
            let keys = store.keys().await?;
            let key = keys.iter().rev().find(|(key, _)| key.name == *name);
            let key = key.with_context(|| format!("there is no key `{name}`; `darkroom keys list` shows all"))?;
            Some(key.0.owner().into())
        }
    };
    print(&signer.secret(&owner))
}

async fn list(store: &SqliteStore) -> anyhow::Result<()> {
    let keys = store.keys().await?;
    let width = keys.iter().map(|(key, _)| key.name.chars().count()).max().unwrap_or(0).max("name".len());
    let mut lines = vec![format!("{:width$}  {:22}  {:20}  {:20}  state", "name", "scopes", "created", "expires")];
    let now = Timestamp::now();
    for (key, secrets) in &keys {
        let scopes = key.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(",");
        let (expires, state) = standing(key, secrets, now);
        let created = short(key.created_at);
        lines.push(format!("{:width$}  {scopes:22}  {created:20}  {expires:20}  {state}", key.name));
    }
    print(&lines.join("\n"))
}

/// When the last of its secrets stops working, and whether it works.
fn standing(key: &Key, secrets: &[Sealed], now: Timestamp) -> (String, &'static str) {
    let for_ever = secrets.iter().any(|secret| secret.expires_at.is_none());
    let last = secrets.iter().filter_map(|secret| secret.expires_at).max().filter(|_| !for_ever);
    let state = match (key.revoked_at, last) {
        (Some(_), _) => "revoked",
        (None, Some(last)) if last <= now => "expired",
        (None, _) => "works",
    };
    (last.map_or_else(|| "never".into(), short), state)
}

fn short(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn after(now: Timestamp, time: Option<SignedDuration>) -> anyhow::Result<Option<Timestamp>> {
    Ok(time.map(|time| now.checked_add(time)).transpose()?)
}

/// A time such as `90d` or `12h 30m`; a day has 24 hours.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let span: Span = text.parse().map_err(|_| format!("`{text}` is no time such as 90d or 12h"))?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|error| error.to_string())?;
    if duration.is_negative() { Err("must not be negative".into()) } else { Ok(duration) }
}
