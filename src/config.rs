//! The configuration: a struct of small structs, layered from `config/default.toml`, a file and the environment.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use serde::{Deserialize, Serialize};

use crate::{denoiser::Prediction, process::Named};

const DEFAULT: &str = include_str!("../config/default.toml");

/// Everything that can be configured; `config/default.toml` explains each key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The server.
    pub http: Http,
    /// The queue's database and the pictures.
    pub store: Store,
    /// Where models are.
    pub models: Models,
    /// What OpenAI clients say, in our words.
    pub openai: OpenAi,
    /// Devices and batching.
    pub engine: Engine,
    /// Back-pressure.
    pub queue: Queue,
    /// What one request may cost.
    pub limits: Limits,
    /// Who may use the service.
    pub auth: Auth,
    /// What each key may ask for.
    pub quota: Quota,
    /// Browsers of other origins.
    pub cors: Cors,
    /// What is told of jobs.
    pub webhooks: Webhooks,
    /// The end.
    pub drain: Drain,
    /// Logs.
    pub log: Log,
}

/// The server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and port.
    pub listen: String,
    /// Seconds.
    pub request_timeout_s: u64,
    /// Scheme and host, perhaps a path; empty: what the request says.
    pub public_url: String,
    /// A certificate chain in PEM; empty: plain HTTP.
    pub tls_certificate: PathBuf,
    /// Its private key in PEM.
    pub tls_key: PathBuf,
}

/// Who may use the service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Whether a key is needed; auto: on any address but loopback.
    pub required: Switch,
    /// Whether metrics need none.
    pub public_metrics: bool,
    /// Seconds that a signed address works at least.
    pub link_life_s: u32,
    /// Signs addresses; empty: drawn once and kept in the database.
    pub link_secret: String,
    /// A set of keys for JSON web tokens: a file or an address.
    pub jwks: String,
    /// Who must have issued a token.
    pub issuer: String,
    /// Whom a token must be for.
    pub audience: String,
}

/// What each key may ask for; 0: any number.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// HTTP requests.
    pub requests_per_minute: u32,
    /// Evaluations times rows, in units of the native size.
    pub row_evaluations_per_minute: u32,
    /// The same in a day (UTC).
    pub row_evaluations_per_day: u64,
    /// Jobs that wait.
    pub queued_jobs: u32,
}

/// Browsers of other origins.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Such as `https://example.org`; `*` alone: any.
    pub origins: Vec<String>,
}

/// What OpenAI clients say, in our words.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAi {
    /// Model ids by other names; empty: the default.
    pub models: BTreeMap<String, String>,
    /// Steps by quality; 0: the model's own.
    pub quality: BTreeMap<String, u32>,
    /// Of a variation, 0..1.
    pub variation_strength: f64,
    /// Of an edit that keeps much of its picture, 0..1.
    pub fidelity_strength: f64,
}

/// The queue's database and the pictures.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `sqlite://path`, or `sqlite::memory:`.
    pub database_url: String,
    /// `file://path`, or `memory:`.
    pub blob_url: String,
    /// Seconds.
    pub sweep_s: u64,
    /// Seconds; 0: for ever.
    pub keep_s: u64,
}

/// Where models are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// A folder of folders.
    pub dir: PathBuf,
    /// An id.
    pub default: String,
    /// The built-in exact model.
    pub gaussian: Gaussian,
}

/// The built-in exact model.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gaussian {
    /// The process it pretends to be trained on.
    pub process: Named,
    /// What it predicts.
    pub prediction: Prediction,
    /// Latent shape.
    pub shape: [i64; 3],
}

/// Devices and batching.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// One worker each.
    pub devices: Vec<String>,
    /// The network's number type.
    pub precision: Precision,
    /// Rows in one forward at most.
    pub max_rows: u32,
    /// Milliseconds that one forward may take.
    pub tick_ms: u64,
    /// Whether a row's bytes must not depend on its company.
    pub strict: Switch,
    /// Rows that strict pads to; 0: found at start-up.
    pub strict_rows: u32,
    /// Megabytes that a forward on a processor may take; 0: what the machine or the control group has free.
    pub memory_mb: u64,
    /// Threads for each forward; 0: LibTorch's choice.
    pub threads: u32,
    /// Where measured forward times are kept; empty: beside the database.
    pub curve_dir: PathBuf,
}

/// The network's number type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// f32 on a processor, bf16 (else f16) on CUDA.
    Auto,
    /// 32 bits.
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE half.
    F16,
}

/// On, off, or what the case itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// As the key's comment says.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl Serialize for Switch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::On => serializer.serialize_bool(true),
            Self::Off => serializer.serialize_bool(false),
        }
    }
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bool(bool),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Bool(on) => Ok(if on { Self::On } else { Self::Off }),
            Written::Text(text) => match text.as_str() {
                "auto" => Ok(Self::Auto),
                "true" => Ok(Self::On),
                "false" => Ok(Self::Off),
                other => Err(serde::de::Error::custom(format!("`{other}` is none of auto, true, false"))),
            },
        }
    }
}

/// Back-pressure.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Queued jobs.
    pub max_depth: u64,
}

/// What one request may cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a request body.
    pub body_bytes: usize,
    /// Bytes of a prompt.
    pub prompt_bytes: usize,
    /// Chunks of a weighted prompt that are read.
    pub prompt_chunks: usize,
    /// Pixels of one picture, made or sent.
    pub pixels: u64,
    /// Evaluations times rows times pixels over native pixels, summed over the pictures.
    pub row_evaluations: u64,
    /// Bytes of events kept for each job.
    pub event_bytes: usize,
    /// Bytes of activations that one job may keep.
    pub feature_bytes: u64,
}

/// The end.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Seconds.
    pub timeout_s: u64,
}

/// Logs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Text for people, JSON for machines.
    pub format: LogFormat,
    /// A tracing filter.
    pub level: String,
    /// Who did what; empty: not kept.
    pub audit_file: PathBuf,
}

/// The form of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// What is told of jobs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// All signing secrets are made from it; empty: drawn once and kept in the database.
    pub secret: String,
    /// Hosts that may be inside the server's own network.
    pub private_hosts: Vec<String>,
    /// Seconds.
    pub timeout_s: u64,
}

impl Http {
    /// Whether only this machine can reach the address.
    pub fn is_loopback(&self) -> bool {
        let host = self.listen.rsplit_once(':').map_or(self.listen.as_str(), |(host, _)| host);
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl Config {
    /// The defaults, then `file`, then `DARKROOM__SECTION__KEY` (lists in JSON).
    ///
    /// # Errors
    /// An unknown key or a value of the wrong type, with the place it came from.
    pub fn load(file: Option<&Path>) -> Result<Self, Box<figment::Error>> {
        let mut layers = Figment::from(Toml::string(DEFAULT));
        if let Some(file) = file {
            layers = layers.merge(Toml::file_exact(file));
        }
        layers.merge(Env::prefixed("DARKROOM__").split("__")).extract().map_err(Box::new)
    }

    /// The defaults with everything in memory and a port of the system's choice.
    ///
    /// # Panics
    /// Never: the compiled-in defaults are valid.
    pub fn for_testing() -> Self {
        let mut config: Self =
            Figment::from(Toml::string(DEFAULT)).extract().expect("config/default.toml is compiled in and valid");
        config.http.listen = "127.0.0.1:0".into();
        config.store.database_url = "sqlite::memory:".into();
        config.store.blob_url = "memory:".into();
        config
    }
}
