//! The wire form of a look at pictures.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    error::Fault,
    http::{
        examples::heart,
        request::{Beside, checked, metadata, typed},
        schema::Shape,
        webhook::WebhookWish,
    },
    job::{Pool, Resize},
};

/// A wish for what the network sees in a picture, or in what two differ. Every field but `image` may be left out.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({ "image": heart(), "blocks": ["mid_block"], "pool": "mean" }))]
pub struct FeaturesRequest {
    /// Id from `/v1/models`; the server's default when left out.
    pub model: Option<String>,
    /// The picture: PNG, JPEG or WebP in base64 or as a data URL, `{"image": id}` of an earlier picture, or
    /// `{"blob": "sha256:..."}` as a job's `request` has it. Needed.
    #[schema(value_type = Value)]
    pub image: Option<Value>,
    /// A picture to compare it with, in the same forms: the job then leaves a map of what differs, as a file and as a grey
    /// picture that is white where most does.
    #[schema(value_type = Value)]
    pub image_b: Option<Value>,
    /// How pictures of another size are brought to `width` and `height`.
    pub resize: Resize,
    /// Class index, for models that take one.
    #[schema(minimum = 0, maximum = 4294967295u32)]
    pub label: Option<u32>,
    /// What the network is told of the pictures.
    pub prompt: String,
    /// Drives the noise, which all pictures share. Drawn, and reported, when left out.
    #[schema(minimum = 0, maximum = 9007199254740991u64)]
    pub seed: Option<u64>,
    /// Pixels, a multiple of the model's `size_multiple`; the model's native width when left out.
    #[schema(minimum = 1, maximum = 1048576)]
    pub width: Option<u32>,
    /// Pixels, a multiple of the model's `size_multiple`; the model's native height when left out.
    #[schema(minimum = 1, maximum = 1048576)]
    pub height: Option<u32>,
    /// The network's times at which it looks, each within its training range. When left out those where the logarithm of
    /// signal to noise is 2.54, 1.84 and 0.355, which serve change detection best.
    #[schema(max_items = 16)]
    pub timesteps: Option<Vec<f64>>,
    /// Names from the model's `blocks` in `/v1/models`; its `up_blocks` when left out.
    #[schema(max_items = 64)]
    pub blocks: Option<Vec<String>>,
    /// Whether all activations are kept, or the mean of each channel, which makes a compact description of the picture.
    pub pool: Pool,
    /// Higher goes first; ages with waiting.
    #[schema(minimum = -10, maximum = 10, default = 0)]
    pub priority: i32,
    /// Up to 16 strings (keys of 64, values of 512 bytes), handed back.
    #[schema(schema_with = metadata)]
    pub metadata: BTreeMap<String, String>,
    /// Where the job's news go; signed as Standard Webhooks says, and sent again until they are taken.
    #[schema(value_type = WebhookWish)]
    pub webhook: Option<WebhookWish>,
}

impl FeaturesRequest {
    /// The request in a JSON document, and every fault that shows without knowing the model, as
    /// [`GenerateRequest::read`](super::request::GenerateRequest::read) does it.
    ///
    /// # Errors
    /// A document in which no fields can be read: no object, or a field of the wrong type.
    pub fn read(document: Value) -> Result<Beside<Self>, Vec<Fault>> {
        static SHAPE: LazyLock<Shape> = LazyLock::new(Shape::of::<FeaturesRequest>);
        let (fields, faults) = checked(document, &SHAPE)?;
        typed(fields, faults)
    }
}
