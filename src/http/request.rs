//! What clients send: the wire form of a generation, as open as clients like it.
//!
//! Field texts, defaults and ranges here are the API's description, and requests are checked against that same description.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

use crate::{
    error::Fault,
    http::{schema::Shape, webhook::WebhookWish},
    job::{Output, PromptSyntax},
};

/// A wish for pictures. Every field may be left out; `null` means the same as leaving it out.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(example = json!({ "prompt": "a red heart, twemoji style", "seed": 7 }))]
pub struct GenerateRequest {
    /// Id from `/v1/models`; the server's default when left out.
    pub model: Option<String>,
    /// Class index, for models that take one.
    #[schema(minimum = 0, maximum = 4294967295u32)]
    pub label: Option<u32>,
    /// What the picture shows. Longer than is read: truncated, with a warning in the job.
    pub prompt: String,
    /// What the picture does not show.
    pub negative_prompt: String,
    /// Pictures to make.
    #[schema(minimum = 1, maximum = 16, default = 1)]
    pub count: u32,
    /// Picture k is picture 0 of `seed + k`, whatever else is asked for. Drawn, and reported, when left out.
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
    /// Name from `/v1/samplers`, or `{"name": ..., options}`; the model's when left out.
    #[schema(value_type = Value)]
    pub sampler: Option<Value>,
    /// Name from `/v1/schedules`, or `{"name": ..., options}`; the model's when left out.
    #[schema(value_type = Value)]
    pub schedule: Option<Value>,
    /// A number w (classifier-free guidance of that scale), a name from `/v1/guidances`, or `{"name": ..., options}`.
    #[schema(value_type = Value)]
    pub guidance: Option<Value>,
    /// Start from this noise: a safetensors file in base64 (or as a data URL), `{"file": id}`, or `{"blob": "sha256:..."}`,
    /// holding one tensor `latents` `[C, h, w]` in f32, unit normal. `count` must be 1; `seed` drives all later noise.
    #[schema(value_type = Value)]
    pub latents: Option<Value>,
    /// The form of the results.
    pub output: Output,
    /// Evaluations between previews, 0 = none.
    #[schema(minimum = 0, maximum = 4294967295u32, default = 0)]
    pub preview_every: u32,
    /// Previews of each picture, spread evenly over its evaluations, instead of `preview_every`; fewer only where a picture has
    /// fewer evaluations. Where their number is not known beforehand they come after 2, 4, 8 ... of them.
    #[schema(minimum = 0, maximum = 16, default = 0)]
    pub previews: u32,
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

impl Default for GenerateRequest {
    fn default() -> Self {
        Self {
            model: None,
            label: None,
            prompt: String::new(),
            negative_prompt: String::new(),
            count: 1,
            seed: None,
            width: None,
            height: None,
            clip_skip: 0,
            prompt_syntax: None,
            steps: None,
            sampler: None,
            schedule: None,
            guidance: None,
            latents: None,
            output: Output::default(),
            preview_every: 0,
            previews: 0,
            priority: 0,
            metadata: BTreeMap::new(),
            webhook: None,
        }
    }
}

impl GenerateRequest {
    /// The request in a JSON document, and every fault that shows without knowing the model. Fields at fault are read as if
    /// they had been left out, so that the rest can still be checked.
    ///
    /// # Errors
    /// A document in which no fields can be read: no object, or a field of the wrong type.
    pub fn read(document: Value) -> Result<Beside<Self>, Vec<Fault>> {
        static SHAPE: LazyLock<Shape> = LazyLock::new(Shape::of::<GenerateRequest>);
        let (fields, faults) = checked(document, &SHAPE)?;
        typed(fields, faults)
    }
}

/// A value, and the faults found beside it.
pub type Beside<T> = (T, Vec<Fault>);

/// The fields of a document that are not at fault by its shape, and the faults.
///
/// # Errors
/// A document that is no object.
pub fn checked(document: Value, shape: &Shape) -> Result<Beside<Map<String, Value>>, Vec<Fault>> {
    let Value::Object(mut fields) = document else {
        return Err(vec![Fault::new("", "the body must be a JSON object")]);
    };
    fields.retain(|_, value| !value.is_null());
    let document = Value::Object(fields);
    let faults = shape.check(&document);
    let Value::Object(mut sound) = document else { unreachable!("it was made of fields") };
    for fault in &faults {
        let field = fault.pointer.split('/').nth(1).unwrap_or_default();
        sound.remove(&field.replace("~1", "/").replace("~0", "~"));
    }
    Ok((sound, faults))
}

/// Fields as their type reads them.
///
/// # Errors
/// A field of the wrong type, after the faults found before.
pub fn typed<T: DeserializeOwned>(fields: Map<String, Value>, faults: Vec<Fault>) -> Result<Beside<T>, Vec<Fault>> {
    match serde_path_to_error::deserialize(Value::Object(fields)) {
        Ok(request) => Ok((request, faults)),
        Err(error) => {
            let pointer = format!("/{}", error.path().to_string().replace('.', "/"));
            Err(faults.into_iter().chain([Fault::new(pointer, error.into_inner().to_string())]).collect())
        }
    }
}

/// The schema of `metadata`: utoipa's attributes have no word for `maxProperties`.
pub fn metadata() -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let about = "Up to 16 strings (keys of 64, values of 512 bytes), handed back.";
    ObjectBuilder::new().additional_properties(Some(text)).max_properties(Some(16)).description(Some(about)).into()
}
