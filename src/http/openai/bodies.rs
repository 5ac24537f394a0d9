//! The bodies of the three routes, as the API's description shows them.

use std::borrow::Cow;

use serde_json::{Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat,
        schema::{AdditionalProperties, Type},
    },
};

use super::{fields::Fields, route::Route};

/// The body of a generation.
#[derive(Debug)]
pub struct ImageGeneration;

/// The body of an edit in JSON.
#[derive(Debug)]
pub struct ImageEdit;

/// The body of an edit as a form.
#[derive(Debug)]
pub struct ImageEditForm;

/// The body of a variation.
#[derive(Debug)]
pub struct ImageVariationForm;

/// The fields of a route, those of them that are needed, and the files of a form.
fn described(route: Route, needed: &[&str], files: &[&str], example: Value) -> RefOr<Schema> {
    let RefOr::T(Schema::Object(mut all)) = Fields::schema() else { unreachable!("structs have object schemas") };
    all.properties.retain(|name, _| route.names().contains(&name.as_str()));
    all.properties.retain(|name, _| files.is_empty() || name != "images");
    for name in files {
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        let about = if *name == "mask" { "What is transparent is edited." } else { "PNG, JPEG or WebP." };
        let file = ObjectBuilder::new().schema_type(Type::String).format(Some(binary)).description(Some(about));
        all.properties.insert((*name).into(), file.into());
    }
    all.required = needed.iter().map(|name| (*name).to_owned()).collect();
    all.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(true)));
    let native = if route == Route::Generation { "GenerateRequest" } else { "EditRequest" };
    all.description = Some(format!("OpenAI's fields; all others of `{native}` may stand beside them."));
    all.example = Some(example).filter(|example| !example.is_null());
    RefOr::T(Schema::Object(all))
}

impl PartialSchema for ImageGeneration {
    fn schema() -> RefOr<Schema> {
        let example = json!({ "prompt": "a red heart, twemoji style", "n": 2, "response_format": "url", "seed": 7 });
        described(Route::Generation, &["prompt"], &[], example)
    }
}

impl PartialSchema for ImageEdit {
    fn schema() -> RefOr<Schema> {
        let pixel = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
        let example = json!({ "images": [{ "image_url": pixel }], "prompt": "a blue heart, twemoji style", "seed": 7 });
        described(Route::Edit, &["prompt", "images"], &[], example)
    }
}

impl PartialSchema for ImageEditForm {
    fn schema() -> RefOr<Schema> {
        described(Route::Edit, &["prompt", "image"], &["image", "mask"], Value::Null)
    }
}

impl PartialSchema for ImageVariationForm {
    fn schema() -> RefOr<Schema> {
        described(Route::Variation, &["image"], &["image"], Value::Null)
    }
}

impl ToSchema for ImageGeneration {
    fn name() -> Cow<'static, str> {
        "ImageGeneration".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Fields::schemas(schemas);
    }
}

impl ToSchema for ImageEdit {
    fn name() -> Cow<'static, str> {
        "ImageEdit".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Fields::schemas(schemas);
    }
}

impl ToSchema for ImageEditForm {
    fn name() -> Cow<'static, str> {
        "ImageEditForm".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Fields::schemas(schemas);
    }
}

impl ToSchema for ImageVariationForm {
    fn name() -> Cow<'static, str> {
        "ImageVariationForm".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Fields::schemas(schemas);
    }
}
