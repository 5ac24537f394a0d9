//! Who gets in, how fast, and what the service signs for itself.

use crate::{
    access::{Links, jwt::Tokens},
    config::{Config, Switch},
    meters::Meters,
    store::Store,
    webhooks::{guard::Guard, signature::Signer},
};

/// What stands between the service and those who come to it, or to whom it goes.
pub struct Door {
    /// Whether a key is needed.
    pub guarded: bool,
    /// What else opens the service beside keys.
    pub tokens: Option<Tokens>,
    /// Addresses of pictures and files.
    pub links: Links,
    /// How fast each key may go.
    pub meters: Meters,
    /// Where webhooks may go.
    pub guard: Guard,
    /// How webhooks are signed.
    pub signer: Signer,
}

impl Door {
    /// As the configuration says; secrets that it leaves open are drawn once for each database.
    ///
    /// # Errors
    /// A set of keys without an issuer, the store, or a system without randomness.
    pub async fn open(config: &Config, store: &dyn Store) -> anyhow::Result<Self> {
        let guarded = guarded(config);
        Ok(Self {
            guarded,
            tokens: if guarded { Tokens::new(&config.auth)? } else { None },
            links: if guarded { signed(config, store).await? } else { Links::plain() },
            meters: Meters::default(),
            guard: Guard::new(&config.webhooks.private_hosts),
            signer: Signer::new(kept(store, "webhook_secret", &config.webhooks.secret).await?),
        })
    }
}

/// Whether a key is needed: where nothing is said, on any address that other machines reach.
fn guarded(config: &Config) -> bool {
    match config.auth.required {
        Switch::On => true,
        Switch::Off => false,
        Switch::Auto => !config.http.is_loopback(),
    }
}

/// Addresses signed by the configured secret, else by one that is drawn once for each database.
async fn signed(config: &Config, store: &dyn Store) -> anyhow::Result<Links> {
    let key = kept(store, "link_secret", &config.auth.link_secret).await?;
    Ok(Links::signed(&key, config.auth.link_life_s))
}

/// The configured secret, else one that is drawn once for each database.
///
/// # Errors
/// The store, or a system without randomness.
pub async fn kept(store: &dyn Store, name: &str, configured: &str) -> anyhow::Result<Vec<u8>> {
    if !configured.is_empty() {
        return Ok(configured.as_bytes().to_vec());
    }
    let mut drawn = [0; 32];
    getrandom::fill(&mut drawn)?;
    Ok(store.keep(name, &drawn).await?)
}
