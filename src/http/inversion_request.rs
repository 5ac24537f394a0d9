//! The wire form of an inversion.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    edit::{Invert, Method},
    error::Fault,
    http::{
        examples::heart,
        request::{Beside, GenerateRequest, checked, metadata, typed},
        schema::Shape,
        webhook::WebhookWish,
    },
    job::{Precision, PromptSyntax, Resize},
};

/// A wish for the code of a picture. Every field but `image` may be left out.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({ "image": heart(), "method": "edit_friendly", "prompt": "a red heart, twemoji style" }))]
pub struct InversionRequest {
    /// Id from `/v1/models`; the server's default when left out.
    pub model: Option<String>,
    /// The picture: PNG, JPEG or WebP in base64 or as a data URL, `{"image": id}` of an earlier picture, or
    /// `{"blob": "sha256:..."}` as a job's `request` has it. Needed.
    #[schema(value_type = Value)]
    pub image: Option<Value>,
    /// How a picture of another size is brought to `width` and `height`.
    pub resize: Resize,
    /// Name from `/v1/edit-methods`, of one that keeps a code, or `{"name": ..., options}`; `ddim` when left out.
    #[schema(value_type = Value)]
    pub method: Option<Value>,
    /// Class index of what the picture shows, for models that take one.
    #[schema(minimum = 0, maximum = 4294967295u32)]
    pub label: Option<u32>,
    /// What the picture shows.
    pub prompt: String,
    /// What it does not show; read where `guidance` is not 1.
    pub negative_prompt: String,
    /// Drives what is drawn, for methods that draw. Drawn, and reported, when left out.
    #[schema(minimum = 0, maximum = 9007199254740991u64)]
    pub seed: Option<u64>,
    /// Pixels, a multiple of the model's `size_multiple`; the model's native width when left out.
    #[schema(minimum = 1, maximum = 1048576)]
    pub width: Option<u32>,
    /// Pixels, a multiple of the model's `size_multiple`; the model's native height when left out.
    #[schema(minimum = 1, maximum = 1048576)]
    pub height: Option<u32>,
    /// Text-encoder layers left out at the end.
    #[schema(minimum = 0, maximum = 4294967295u32, default = 0)]
    pub clip_skip: u32,
    /// How the prompts are read.
    #[schema(value_type = PromptSyntax, default = "plain")]
    pub prompt_syntax: Option<PromptSyntax>,
    /// Steps; the model's own number when left out.
    #[schema(minimum = 1, maximum = 1000)]
    pub steps: Option<u32>,
    /// Share of the steps that are gone: the code lies at the level where it ends. The method's own when left out.
    #[schema(minimum = 0, maximum = 1)]
    pub strength: Option<f64>,
    /// Name from `/v1/samplers`, or `{"name": ..., options}`; the method's, else the model's, when left out.
    #[schema(value_type = Value)]
    pub sampler: Option<Value>,
    /// Name from `/v1/schedules`, or `{"name": ..., options}`; the model's when left out.
    #[schema(value_type = Value)]
    pub schedule: Option<Value>,
    /// Towards `prompt`, while the code is found: a number, a name from `/v1/guidances`, or `{"name": ..., options}`; the
    /// method's `source_guidance`, else the model's guidance, when left out.
    #[schema(value_type = Value)]
    pub guidance: Option<Value>,
    /// Of the arithmetic around the network, here and in the edits that start from the code.
    pub precision: Precision,
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

impl InversionRequest {
    /// The request in a JSON document, and every fault that shows without knowing the model, as
    /// [`GenerateRequest::read`] does it.
    ///
    /// # Errors
    /// A document in which no fields can be read: no object, or a field of the wrong type.
    pub fn read(document: Value) -> Result<Beside<Self>, Vec<Fault>> {
        static SHAPE: LazyLock<Shape> = LazyLock::new(Shape::of::<InversionRequest>);
        let (fields, faults) = checked(document, &SHAPE)?;
        typed(fields, faults)
    }

    /// The generation of what the picture shows, which goes the same way down.
    pub fn generation(self, method: &dyn Method) -> GenerateRequest {
        let scale = || method.invert().and_then(Invert::source_guidance).map(Value::from);
        GenerateRequest {
            model: self.model,
            label: self.label,
            prompt: self.prompt,
            negative_prompt: self.negative_prompt,
            seed: self.seed,
            width: self.width,
            height: self.height,
            clip_skip: self.clip_skip,
            prompt_syntax: self.prompt_syntax,
            steps: self.steps,
            sampler: self.sampler.or_else(|| method.sampler()),
            schedule: self.schedule,
            guidance: self.guidance.or_else(scale),
            priority: self.priority,
            metadata: self.metadata,
            webhook: self.webhook,
            ..GenerateRequest::default()
        }
    }
}
