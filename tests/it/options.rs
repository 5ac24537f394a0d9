//! No option that is accepted is without effect.

use darkroom::{
    denoiser::Prediction,
    process::Named,
    sampler::{AnySolver, SAMPLERS},
};
use serde_json::{Value, json};
use tch::Tensor;

use crate::support::exact::{Saying, apart, model, sample, solver, uniform_lambda};

/// What else must be set for an option to matter.
fn setting(sampler: &str, option: &str) -> Value {
    match (sampler, option) {
        ("edm", "churn_min" | "churn_max" | "s_noise") => json!({"churn": 20}),
        _ => json!({}),
    }
}

/// Other values of an option, by its schema.
fn others(schema: &Value) -> Vec<Value> {
    let default = &schema["default"];
    let bounds = [&schema["minimum"], &schema["maximum"]].map(Value::as_f64);
    let all: Vec<Value> = match (&schema["enum"], default, bounds) {
        (Value::Array(names), ..) => names.clone(),
        (_, Value::Bool(on), _) => vec![json!(!on)],
        (_, Value::Number(number), [Some(low), Some(high)]) if number.is_f64() => {
            [0.0, 0.3, 0.6, 1.0].map(|share| json!(low + (high - low) * share)).to_vec()
        }
        (_, Value::Number(_), [Some(low), Some(high)]) => vec![json!(low as i64), json!((high as i64).min(8))],
        (_, Value::Object(_), _) => inner(schema),
        // The list of a plan's steps has a test of its own.
        (_, Value::Array(_), _) => Vec::new(),
        _ => vec![json!({"max": 1.0}), json!({"p": 0.5, "max": 2.0}), json!("flow"), json!("ratio")],
    };
    all.into_iter().filter(|value| value != default).collect()
}

/// An object with one of its fields changed.
fn inner(schema: &Value) -> Vec<Value> {
    let fields = schema["properties"].as_object().into_iter().flatten();
    fields.map(|(name, field)| json!({name: field["maximum"].as_f64().unwrap_or(1.0) * 0.5})).collect()
}

fn end(value: &Value) -> Tensor {
    let process = Named::ScaledLinear.process();
    let exact = Saying { exact: model(process.clone(), Prediction::Epsilon), share: |_| 0.2 };
    let x = Tensor::from_slice(&[9.0, -4.0, -14.0, 3.0]).view([2, 1, 1, 2]) * process.at_lambda(-2.5).alpha;
    sample(&exact, solver(value), &uniform_lambda(&*process, -2.5, 2.5, 12), &x, &[1, 2])
}

fn reads(value: &Value) -> Option<Box<dyn AnySolver>> {
    let sampler = SAMPLERS.iter().find(|sampler| value["name"] == sampler.entry.name)?;
    let mut options = value.as_object()?.clone();
    options.remove("name");
    sampler.entry.read(options).ok()
}

#[test]
fn every_option_of_every_sampler_has_an_effect() {
    let mut idle = Vec::new();
    for sampler in SAMPLERS {
        let (name, schema) = (sampler.entry.name, sampler.entry.schema());
        for (option, field) in schema["properties"].as_object().into_iter().flatten() {
            let mut base = setting(name, option);
            base["name"] = json!(name);
            let bare = end(&base);
            let values = others(field).into_iter().map(|value| {
                let mut changed = base.clone();
                changed[option] = value;
                changed
            });
            let tried: Vec<Value> = values.filter(|value| reads(value).is_some()).collect();
            let named = field.get("enum").is_some();
            let effects: Vec<bool> = tried.iter().map(|value| apart(&end(value), &bare) > 1e-9).collect();
            // Of a closed list every name has one; of numbers some other number.
            let works = if named { effects.iter().all(|effect| *effect) } else { effects.contains(&true) };
            if !works && field["default"].as_array().is_none() {
                idle.push(format!("{name}.{option}: {tried:?} {effects:?}"));
            }
        }
    }
    assert!(idle.is_empty(), "{idle:#?}");
}
