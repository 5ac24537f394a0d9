//! From a wish to the native request that makes the same.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    names::{self, Scheduler},
    settings::Settings,
    wish::Wish,
};
use crate::{
    app::App,
    error::Fault,
    http::{
        error::{Problem, Result},
        valid::draw_seed,
    },
    model::Card,
    pixels,
    sampler::SAMPLERS,
    task::variation,
};

/// Previews of a run, about.
const PREVIEWS: u32 = 10;

/// The greatest sigma that the registry's samplers know.
const ENDLESS: f64 = 1e6;

/// A native request, and what of the wish does not stand in it.
#[derive(Debug)]
pub struct Native {
    /// The document.
    pub document: Value,
    /// Name of the sampler there.
    pub sampler: &'static str,
    /// Name of its schedule there.
    pub scheduler: &'static str,
    /// Seed of the variation.
    pub subseed: u64,
}

/// The native request of a wish for new pictures; for changed ones the picture is still to be added.
///
/// # Errors
/// Names that nobody knows, and what does not go together.
pub fn request(app: &App, wish: &Wish, settings: &Settings, card: &Card) -> Result<Native> {
    let (sampler, old) = named(wish).map_err(|fault| Problem::invalid(vec![fault]))?;
    let scheduler = scheduled(wish).map_err(|fault| Problem::invalid(vec![fault]))?.or(old);
    let (walked, steps) = walked(sampler.native(), wish).map_err(Problem::invalid)?;
    let size = size(app, wish, card)?;
    let mut document = json!({
        "model": &*card.id,
        "prompt": wish.prompt,
        "negative_prompt": wish.negative_prompt,
        "prompt_syntax": "weighted",
        "count": wish.batch_size * wish.n_iter,
        "width": size.0,
        "height": size.1,
        "clip_skip": settings.clip_skip.unwrap_or(0),
        "steps": steps,
        "sampler": walked,
        "schedule": sampler.schedule(scheduler),
        "guidance": wish.cfg_scale,
        "output": settings.output(),
        "preview_every": wish.steps.div_ceil(PREVIEWS),
    });
    let subseed = seed(wish.subseed).unwrap_or_else(draw_seed);
    let varied = varied(wish, card.latent_for(size.0, size.1), subseed)?;
    merge(&mut document, varied);
    let scheduler = scheduler.map_or(names::AUTOMATIC.1, |scheduler| scheduler.label);
    Ok(Native { document, sampler: sampler.name, scheduler, subseed })
}

/// The asked size, else the model's.
///
/// # Errors
/// More pixels than are allowed.
pub fn size(app: &App, wish: &Wish, card: &Card) -> Result<(u32, u32)> {
    let (width, height) = (wish.width.unwrap_or(card.native().0), wish.height.unwrap_or(card.native().1));
    match app.config.limits.picture(width, height) {
        Some(fault) => Err(Problem::invalid(vec![fault])),
        None => Ok((width, height)),
    }
}

/// Adds fields to a document.
pub fn merge(document: &mut Value, fields: Map<String, Value>) {
    if let Value::Object(all) = document {
        all.extend(fields);
    }
}

fn named(wish: &Wish) -> Result<(&'static names::Sampler, Option<&'static Scheduler>), Fault> {
    let given = wish.sampler_name.as_deref().filter(|name| !name.is_empty());
    let (name, at) = given.map_or((wish.sampler_index.as_str(), "sampler_index"), |name| (name, "sampler_name"));
    names::find_sampler(name).map_err(|message| Fault::new(format!("/{at}"), message))
}

fn scheduled(wish: &Wish) -> Result<Option<&'static Scheduler>, Fault> {
    let found = names::find_scheduler(wish.scheduler.as_deref().unwrap_or_default());
    found.map_err(|message| Fault::new("/scheduler", message))
}

/// The sampler with what it is told of noise, and the steps of its schedule.
fn walked(mut sampler: Value, wish: &Wish) -> Result<(Value, u32), Vec<Fault>> {
    let (mut steps, mut faults) = (wish.steps, Vec::new());
    if sampler["name"] == "restart" {
        let (again, times) = restarts(wish.steps);
        steps -= again * times;
        let high = if again > 0 { 2.0 } else { 0.001 };
        sampler = json!({ "name": "restart", "high": high, "steps": again.max(1), "times": times.max(1) });
    }
    if wish.s_churn.is_some_and(|churn| churn > 0.0) {
        sampler = churned(&sampler, wish).unwrap_or_else(|fault| {
            faults.push(fault);
            sampler
        });
    }
    for (option, value, usual) in [("eta", wish.eta, [0.0, 1.0].as_slice()), ("s_noise", wish.s_noise, &[1.0])] {
        let Some(value) = value else { continue };
        if knows(&sampler, option) {
            sampler[option] = value.into();
        } else if !usual.contains(&value) {
            faults.push(Fault::new(
                format!("/{option}"),
                "means nothing to this sampler, which draws no noise on its way",
            ));
        }
    }
    if faults.is_empty() { Ok((sampler, steps)) } else { Err(faults) }
}

/// Steps that Restart goes again, and how often; none below 20 in all.
fn restarts(steps: u32) -> (u32, u32) {
    match steps {
        ..20 => (0, 0),
        20..36 => (9, 1),
        _ => (steps / 4, 2),
    }
}

/// Euler or Heun with noise added on the way.
fn churned(sampler: &Value, wish: &Wish) -> Result<Value, Fault> {
    let order = match sampler["name"].as_str() {
        Some("euler") => 1,
        Some("heun") => 2,
        _ => return Err(Fault::new("/s_churn", "must be 0: only Euler and Heun add noise on the way")),
    };
    let most = wish.s_tmax.filter(|most| *most > 0.0).unwrap_or(ENDLESS);
    let least = wish.s_tmin.unwrap_or(0.0);
    Ok(json!({ "name": "edm", "order": order, "churn": wish.s_churn, "churn_min": least, "churn_max": most }))
}

fn knows(sampler: &Value, option: &str) -> bool {
    let line = SAMPLERS.iter().find(|line| sampler["name"] == line.entry.name);
    line.is_some_and(|line| line.entry.schema()["properties"].get(option).is_some())
}

/// The fields that say from which noise a picture starts.
fn varied(wish: &Wish, shape: [i64; 3], subseed: u64) -> Result<Map<String, Value>> {
    let mut fields = Map::new();
    if wish.subseed_strength == 0.0 {
        fields.extend(seed(wish.seed).map(|seed| ("seed".to_owned(), seed.into())));
        return Ok(fields);
    }
    if wish.batch_size * wish.n_iter > 1 {
        let message = "must be 0 for more than one picture: those of a job differ by their seeds";
        return Err(Problem::invalid(vec![Fault::new("/subseed_strength", message)]));
    }
    let seed = seed(wish.seed).unwrap_or_else(draw_seed);
    let noise = variation(shape, seed, (subseed, wish.subseed_strength));
    let file = pixels::latents::write(&noise, shape).map_err(Problem::internal)?;
    fields.insert("seed".into(), seed.into());
    fields.insert("latents".into(), STANDARD.encode(file).into());
    Ok(fields)
}

/// A seed that was given.
fn seed(given: i64) -> Option<u64> {
    u64::try_from(given).ok()
}
