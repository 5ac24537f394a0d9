use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Resize;

/// What is kept of activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// All of them, `[c, h, w]`.
    #[default]
    None,
    /// The mean over the places of each channel, `[c]`.
    Mean,
}

/// A look at pictures in which nothing is left open; posted again, it gives the same file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Features {
    /// Id from `/v1/models`.
    pub model: String,
    /// The blob that holds the picture, `{"blob": "sha256:..."}`.
    #[schema(value_type = Object)]
    pub image: Value,
    /// The blob that holds the picture it is compared with, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub image_b: Option<Value>,
    /// How pictures were brought to the size.
    pub resize: Resize,
    /// Class index, for models that take one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<u32>,
    /// What the network is told of the pictures.
    pub prompt: String,
    /// Drives the noise.
    pub seed: u64,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The network's times at which it looks, noise rising with them.
    pub timesteps: Vec<f64>,
    /// Its blocks that are looked into.
    pub blocks: Vec<String>,
    /// What is kept.
    pub pool: Pool,
    /// -10..10; ages with waiting.
    pub priority: i32,
    /// Handed back.
    pub metadata: BTreeMap<String, String>,
}
