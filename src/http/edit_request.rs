//! The wire form of an edit: a generation's fields and those that an edit adds.

use std::{borrow::Cow, sync::LazyLock};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, schema::Type},
};

use crate::{
    error::Fault,
    http::{
        examples::heart,
        request::{Beside, GenerateRequest, checked, typed},
        schema::Shape,
    },
    job::Resize,
};

/// What an edit adds to a generation's fields.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EditFields {
    /// The picture: PNG, JPEG or WebP in base64 or as a data URL, `{"image": id}` of an earlier picture, or
    /// `{"blob": "sha256:..."}` as a job's `request` has it. Needed.
    #[schema(value_type = Value)]
    pub image: Option<Value>,
    /// A file of `/v1/inversions` to start from: its id, or in the forms of `latents`. It holds the picture, and what it was
    /// made with need not be said again.
    #[schema(value_type = Value)]
    pub inversion: Option<Value>,
    /// A picture of the same size, in the same forms: white may change, black stays, grey is a blend of both.
    #[schema(value_type = Value)]
    pub mask: Option<Value>,
    /// What the given picture shows, for methods that ask.
    pub source_prompt: String,
    /// Class index of what it shows, for models that take one and methods that ask.
    #[schema(minimum = 0, maximum = 4294967295u32)]
    pub source_label: Option<u32>,
    /// Name from `/v1/edit-methods`, or `{"name": ..., options}`; `inpaint` with a mask, else `sdedit`, when left out.
    #[schema(value_type = Value)]
    pub method: Option<Value>,
    /// Share of the steps that run: 0 none, which is the way through the autoencoder; 1 all, for `sdedit` from noise
    /// alone. The method's own when left out, as `/v1/edit-methods` lists it.
    #[schema(minimum = 0, maximum = 1)]
    pub strength: Option<f64>,
    /// How a picture of another size is brought to `width` and `height`: `crop` takes its middle, `stretch` all of it,
    /// `pad` all of it between white margins, which a mask keeps.
    pub resize: Resize,
}

/// A wish for edited pictures.
#[derive(Clone, Debug)]
pub struct EditRequest {
    /// The picture, and what to do with it.
    pub edit: EditFields,
    /// Everything else.
    pub generation: GenerateRequest,
}

static SHAPE: LazyLock<Shape> = LazyLock::new(Shape::of::<EditRequest>);
static OWN: LazyLock<Map<String, Value>> = LazyLock::new(|| properties(EditFields::schema()));
static OTHER: LazyLock<Map<String, Value>> = LazyLock::new(|| properties(GenerateRequest::schema()));

impl EditRequest {
    /// The request in a JSON document, and every fault that shows without knowing the model, as
    /// [`GenerateRequest::read`] does it.
    ///
    /// # Errors
    /// A document in which no fields can be read: no object, or a field of the wrong type.
    pub fn read(document: Value) -> Result<Beside<Self>, Vec<Fault>> {
        let (mut fields, faults) = checked(document, &SHAPE)?;
        let edit: Map<String, Value> = OWN.keys().filter_map(|name| fields.remove_entry(name)).collect();
        let (edit, faults) = typed(edit, faults)?;
        let (generation, faults) = typed(fields, faults)?;
        Ok((Self { edit, generation }, faults))
    }

    /// The names of all its fields, of which [`GenerateRequest`] has those that stand first.
    pub fn names() -> (impl Iterator<Item = &'static str>, impl Iterator<Item = &'static str>) {
        (OTHER.keys().map(String::as_str), OWN.keys().map(String::as_str))
    }

    /// The JSON type that the field of that name must have; `None` where it may have several.
    pub fn type_of(name: &str) -> Option<String> {
        let field = OWN.get(name).or_else(|| OTHER.get(name))?;
        let kind = &field["type"];
        let named = kind.as_array().and_then(|kinds| kinds.iter().find(|kind| *kind != "null")).unwrap_or(kind);
        named.as_str().map(str::to_owned)
    }
}

fn properties(schema: RefOr<Schema>) -> Map<String, Value> {
    let schema = serde_json::to_value(schema).expect("a schema is JSON");
    schema["properties"].as_object().cloned().unwrap_or_default()
}

/// The schema of a generation with these fields more.
fn extended(more: RefOr<Schema>, example: Value) -> RefOr<Schema> {
    let (RefOr::T(Schema::Object(mut all)), RefOr::T(Schema::Object(more))) = (GenerateRequest::schema(), more) else {
        unreachable!("structs have object schemas");
    };
    all.properties.extend(more.properties);
    all.description = Some("A wish for edited pictures: a generation from a given picture on.".into());
    all.example = Some(example);
    RefOr::T(Schema::Object(all))
}

impl PartialSchema for EditRequest {
    fn schema() -> RefOr<Schema> {
        let example = json!({ "image": heart(), "prompt": "a blue heart, twemoji style", "seed": 7 });
        extended(EditFields::schema(), example)
    }
}

impl ToSchema for EditRequest {
    fn name() -> Cow<'static, str> {
        "EditRequest".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        EditFields::schemas(schemas);
        GenerateRequest::schemas(schemas);
    }
}

/// The same as a form: `image` and `mask` are files, numbers are texts, objects are JSON.
#[derive(Debug)]
pub struct EditForm;

impl PartialSchema for EditForm {
    fn schema() -> RefOr<Schema> {
        let RefOr::T(Schema::Object(mut fields)) = EditFields::schema() else {
            unreachable!("structs have object schemas");
        };
        for (name, about) in
            [("image", "PNG, JPEG or WebP."), ("mask", "A picture of the same size; white may change.")]
        {
            let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
            let file = ObjectBuilder::new().schema_type(Type::String).format(Some(binary)).description(Some(about));
            fields.properties.insert(name.into(), file.into());
        }
        extended(RefOr::T(Schema::Object(fields)), Value::Null)
    }
}

impl ToSchema for EditForm {
    fn name() -> Cow<'static, str> {
        "EditForm".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        EditRequest::schemas(schemas);
    }
}
