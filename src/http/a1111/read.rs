//! From a body to a wish: what its texts mean, and which of its keys ask for what is not done here.

use std::{borrow::Cow, sync::LazyLock};

use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::{
    infotext,
    wish::{Start, Wish},
};
use crate::{
    error::Fault,
    http::{
        error::{Problem, Result},
        form::scalar,
        request::{checked, typed},
        schema::Shape,
    },
};

/// A wish for changed pictures: all that a wish has, and what the pictures start from.
#[derive(Debug)]
pub struct Img2img;

static TXT2IMG: LazyLock<Shape> = LazyLock::new(Shape::of::<Closed<Wish>>);
static IMG2IMG: LazyLock<Shape> = LazyLock::new(Shape::of::<Closed<Img2img>>);
static START: LazyLock<Map<String, Value>> = LazyLock::new(|| properties(&Start::schema()));
static ALL: LazyLock<Map<String, Value>> = LazyLock::new(|| properties(&Img2img::schema()));

/// The wish in a document.
///
/// # Errors
/// Every fault that shows without knowing the model.
pub fn txt2img(document: Value) -> Result<Wish> {
    let (fields, faults) = checked(settled(document)?, &TXT2IMG).map_err(Problem::invalid)?;
    let (wish, faults): (Wish, _) = typed(fields, faults).map_err(Problem::invalid)?;
    sound(faults.into_iter().chain(undone(&wish)).collect()).map(|()| wish)
}

/// The wish in a document, and what it starts from.
///
/// # Errors
/// As [`txt2img`].
pub fn img2img(document: Value) -> Result<(Wish, Start)> {
    let (mut fields, faults) = checked(settled(document)?, &IMG2IMG).map_err(Problem::invalid)?;
    let start: Map<String, Value> = START.keys().filter_map(|name| fields.remove_entry(name)).collect();
    let (start, faults): (Start, _) = typed(start, faults).map_err(Problem::invalid)?;
    let (wish, faults): (Wish, _) = typed(fields, faults).map_err(Problem::invalid)?;
    sound(faults.into_iter().chain(undone(&wish)).chain(unstarted(&start)).collect()).map(|()| (wish, start))
}

fn sound(faults: Vec<Fault>) -> Result<()> {
    if faults.is_empty() { Ok(()) } else { Err(Problem::invalid(faults)) }
}

/// The document with what its `infotext` adds, and with its numbers and truth values as such: clients send both as texts
/// and as each other.
fn settled(document: Value) -> Result<Value> {
    let Value::Object(mut fields) = document else {
        return Err(Problem::invalid(vec![Fault::new("", "the body must be a JSON object")]));
    };
    if let Some(text) = fields.get("infotext").and_then(Value::as_str) {
        for (name, value) in infotext::fields(text) {
            fields.entry(name).or_insert(value);
        }
    }
    for (name, value) in &mut fields {
        let kind = ALL.get(name).map(|field| field["type"].to_string()).unwrap_or_default();
        *value = meant(value.take(), &kind);
    }
    Ok(Value::Object(fields))
}

fn meant(value: Value, kind: &str) -> Value {
    let number = ["integer", "number"].iter().any(|name| kind.contains(name));
    match value {
        Value::String(text) if number || kind.contains("boolean") => scalar(&text),
        Value::Bool(truth) if number => i64::from(truth).into(),
        Value::Number(number) if kind.contains("boolean") && [Some(0), Some(1)].contains(&number.as_i64()) => {
            (number.as_i64() == Some(1)).into()
        }
        other => other,
    }
}

/// Keys that ask for what is not done here.
fn undone(wish: &Wish) -> impl Iterator<Item = Fault> {
    let named =
        |name: &Option<String>| name.as_ref().is_some_and(|name| !["", "none"].contains(&&*name.to_lowercase()));
    let refines = named(&wish.refiner_checkpoint) && wish.refiner_switch_at.is_some_and(|at| at > 0.0 && at < 1.0);
    let resized = |from: i64, side: Option<u32>| from > 0 && side.map(i64::from) != Some(from);
    let scripts = wish.alwayson_scripts.iter().filter(|(_, script)| asks(&script["args"]));
    let flags = [
        ("enable_hr", wish.enable_hr, "must be false: there is no second pass"),
        ("restore_faces", wish.restore_faces, "must be false: there is no face restoration"),
        ("tiling", wish.tiling, "must be false: pictures are not made to be tiled"),
        ("script_name", named(&wish.script_name), "must be null: there are no scripts"),
        ("refiner_checkpoint", refines, "must be null: there is no second model"),
        ("s_min_uncond", wish.s_min_uncond != 0.0, "must be 0: the negative prompt is asked for at every step"),
        ("seed_resize_from_h", resized(wish.seed_resize_from_h, wish.height), "must be 0 or `height`"),
        ("seed_resize_from_w", resized(wish.seed_resize_from_w, wish.width), "must be 0 or `width`"),
    ];
    let flags = flags.into_iter().filter(|(_, asked, _)| *asked);
    let flags: Vec<_> = flags.map(|(name, _, message)| Fault::new(format!("/{name}"), message)).collect();
    let scripts = scripts.map(|(name, _)| {
        Fault::new(
            format!("/alwayson_scripts/{name}"),
            "is not there: there are no scripts, `args` may ask for nothing",
        )
    });
    flags.into_iter().chain(scripts.collect::<Vec<_>>())
}

/// Whether the arguments of a script ask for anything: `[]`, `[false]` and units that are not enabled do not.
fn asks(args: &Value) -> bool {
    match args {
        Value::Array(args) => args.iter().any(asks),
        Value::Object(unit) => unit.get("enabled").is_none_or(|enabled| *enabled != false),
        Value::Null | Value::Bool(false) => false,
        _ => true,
    }
}

fn unstarted(start: &Start) -> impl Iterator<Item = Fault> {
    let (x, y) = (start.mask_blur_x, start.mask_blur_y);
    let other = |value: Option<f64>, usual: &[f64]| value.is_some_and(|value| !usual.contains(&value));
    let flags = [
        ("init_images", start.init_images.is_empty(), "is missing: there is nothing to start from"),
        ("init_images", start.init_images.len() > 1, "must hold one picture"),
        ("latent_mask", start.latent_mask.is_some(), "must be null: `mask` is what is read"),
        ("resize_mode", start.resize_mode == 3, "must be 0, 1 or 2: latents are not resized"),
        ("mask_blur_y", x.zip(y).is_some_and(|(x, y)| x != y), "must be that of `mask_blur_x`"),
        ("initial_noise_multiplier", other(start.initial_noise_multiplier, &[0.0, 1.0]), "must be 1"),
        (
            "image_cfg_scale",
            other(start.image_cfg_scale, &[0.0, 1.5]),
            "must be 1.5: no model here has a second guidance",
        ),
    ];
    flags.into_iter().filter(|(_, asked, _)| *asked).map(|(name, _, message)| Fault::new(format!("/{name}"), message))
}

fn properties(schema: &RefOr<Schema>) -> Map<String, Value> {
    let schema = serde_json::to_value(schema).expect("a schema is JSON");
    schema["properties"].as_object().cloned().unwrap_or_default()
}

impl PartialSchema for Img2img {
    fn schema() -> RefOr<Schema> {
        let (RefOr::T(Schema::Object(mut all)), RefOr::T(Schema::Object(more))) = (Wish::schema(), Start::schema())
        else {
            unreachable!("structs have object schemas");
        };
        all.properties.extend(more.properties);
        all.description = Some("A wish for changed pictures: all of `txt2img`, and what they start from.".into());
        all.example = Some(example());
        RefOr::T(Schema::Object(all))
    }
}

impl ToSchema for Img2img {
    fn name() -> Cow<'static, str> {
        "SdapiImg2img".into()
    }
}

/// A small red picture, for examples that work as they are.
pub const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEklEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7N9hAAAAAElFTkSuQmCC";

fn example() -> Value {
    json!({
        "init_images": [PICTURE], "prompt": "a red heart, twemoji style", "seed": 7, "steps": 20, "width": 64, "height": 64,
        "denoising_strength": 0.75, "sampler_name": "Euler a"
    })
}

/// A schema that knows no other fields. The types leave that open, because no type says it of two.
struct Closed<T>(std::marker::PhantomData<T>);

impl<T: ToSchema> PartialSchema for Closed<T> {
    fn schema() -> RefOr<Schema> {
        let mut schema = T::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.additional_properties =
                Some(Box::new(utoipa::openapi::schema::AdditionalProperties::FreeForm(false)));
        }
        schema
    }
}

impl<T: ToSchema> ToSchema for Closed<T> {}
