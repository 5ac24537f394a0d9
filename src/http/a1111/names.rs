//! What AUTOMATIC1111 calls samplers and schedules, and what of the registries does the same.

use serde_json::{Value, json};

use crate::registry::unknown;

/// A sampler under its name there.
#[derive(Debug)]
pub struct Sampler {
    /// The name that is shown.
    pub name: &'static str,
    /// Others, among them those of old versions.
    pub aliases: &'static [&'static str],
    /// The schedule that `Automatic` means with it, by its name in [`SCHEDULERS`]; `None`: the registry's own.
    pub automatic: Option<&'static str>,
    native: &'static str,
    path: Path,
}

/// How a sampler's path starts, is told and ends there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// From noise alone at the greatest sigma down to 0, at real times.
    Sigmas,
    /// The same, one level more, of which the least noisy one is left out, where the schedule can say that.
    SigmasButOne,
    /// At whole training times, down to the first of them.
    Times,
    /// At real times, down to the first training time.
    RealTimes,
}

/// A schedule under its names there.
#[derive(Debug)]
pub struct Scheduler {
    /// The name in requests.
    pub name: &'static str,
    /// The name that is shown.
    pub label: &'static str,
    /// Others.
    pub aliases: &'static [&'static str],
    /// The exponent of its spacing, -1 where it has none.
    pub rho: f64,
    native: &'static str,
}

const fn sampler(
    name: &'static str,
    aliases: &'static [&'static str],
    automatic: &'static str,
    (native, path): (&'static str, Path),
) -> Sampler {
    Sampler { name, aliases, automatic: Some(automatic), native, path }
}

use Path::{RealTimes, Sigmas, SigmasButOne, Times};

/// Every sampler, in the order in which lists show them there.
#[rustfmt::skip]
pub const SAMPLERS: &[Sampler] = &[
    sampler("DPM++ 2M", &["k_dpmpp_2m", "dpmpp_2m"], "karras", (r#"{"name": "dpmpp_2m"}"#, Sigmas)),
    sampler("DPM++ SDE", &["k_dpmpp_sde", "dpmpp_sde"], "karras", (r#"{"name": "dpmpp_sde"}"#, Sigmas)),
    sampler("DPM++ 2M SDE", &["k_dpmpp_2m_sde", "dpmpp_2m_sde"], "exponential", (r#"{"name": "dpmpp_2m_sde"}"#, Sigmas)),
    sampler("DPM++ 2M SDE Heun", &["k_dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun"], "exponential", (r#"{"name": "dpmpp_2m_sde", "difference": "taylor"}"#, Sigmas)),
    sampler("DPM++ 2S a", &["k_dpmpp_2s_a", "dpmpp_2s_a", "dpmpp_2s_ancestral"], "karras", (r#"{"name": "dpmpp_2s_a"}"#, Sigmas)),
    sampler("DPM++ 3M SDE", &["k_dpmpp_3m_sde", "dpmpp_3m_sde"], "exponential", (r#"{"name": "dpmpp_3m_sde"}"#, SigmasButOne)),
    sampler("Euler a", &["k_euler_a", "k_euler_ancestral", "euler_a", "euler_ancestral"], "uniform", (r#"{"name": "euler_a"}"#, Sigmas)),
    sampler("Euler", &["k_euler"], "uniform", (r#"{"name": "euler"}"#, Sigmas)),
    sampler("LMS", &["k_lms"], "uniform", (r#"{"name": "lms"}"#, Sigmas)),
    sampler("Heun", &["k_heun"], "uniform", (r#"{"name": "heun", "coordinate": "ratio"}"#, Sigmas)),
    sampler("DPM2", &["k_dpm_2", "dpm_2", "dpm2"], "karras", (r#"{"name": "dpm2"}"#, SigmasButOne)),
    sampler("DPM2 a", &["k_dpm_2_a", "dpm2_a", "dpm_2_ancestral"], "karras", (r#"{"name": "dpm2_a"}"#, SigmasButOne)),
    sampler("DPM fast", &["k_dpm_fast", "dpm_fast"], "uniform", (r#"{"name": "dpm_fast"}"#, Sigmas)),
    sampler("DPM adaptive", &["k_dpm_ad", "dpm_adaptive"], "uniform", (r#"{"name": "dpm_adaptive"}"#, Sigmas)),
    sampler("Restart", &["restart"], "karras", (r#"{"name": "restart"}"#, Sigmas)),
    sampler("DDIM", &["ddim"], "ddim", (r#"{"name": "ddim"}"#, Times)),
    sampler("PLMS", &["plms"], "ddim", (r#"{"name": "plms"}"#, Times)),
    sampler("UniPC", &["unipc"], "uniform", (r#"{"name": "unipc", "order": 3, "variant": "bh1"}"#, RealTimes)),
    Sampler { name: "LCM", aliases: &["k_lcm"], automatic: None, native: r#"{"name": "lcm"}"#, path: Sigmas },
];

const fn scheduler(name: &'static str, label: &'static str, rho: f64, native: &'static str) -> Scheduler {
    Scheduler { name, label, aliases: &[], rho, native }
}

/// Every schedule but `Automatic`, in the order in which lists show them there.
#[rustfmt::skip]
pub const SCHEDULERS: &[Scheduler] = &[
    scheduler("uniform", "Uniform", -1.0, r#"{"name": "linspace"}"#),
    scheduler("karras", "Karras", 7.0, r#"{"name": "karras"}"#),
    scheduler("exponential", "Exponential", -1.0, r#"{"name": "exponential"}"#),
    scheduler("polyexponential", "Polyexponential", 1.0, r#"{"name": "polyexponential"}"#),
    Scheduler { aliases: &["SGMUniform"], ..scheduler("sgm_uniform", "SGM Uniform", -1.0, r#"{"name": "sgm_uniform"}"#) },
    scheduler("kl_optimal", "KL Optimal", -1.0, r#"{"name": "kl_optimal", "end": "first"}"#),
    scheduler("align_your_steps", "Align Your Steps", -1.0, r#"{"name": "align_your_steps", "keep_last": true}"#),
    scheduler("simple", "Simple", -1.0, r#"{"name": "simple"}"#),
    scheduler("normal", "Normal", -1.0, r#"{"name": "normal"}"#),
    scheduler("ddim", "DDIM", -1.0, r#"{"name": "ddim_uniform"}"#),
    scheduler("beta", "Beta", -1.0, r#"{"name": "beta", "over": "sigmas"}"#),
];

/// The name and label of what leaves the schedule to the sampler.
pub const AUTOMATIC: (&str, &str) = ("automatic", "Automatic");

/// Schedules that can leave their least noisy level out.
const LEAVE_LAST: [&str; 3] = ["linspace", "karras", "exponential"];

impl Sampler {
    /// What the registry calls it, with the options that make it the same.
    pub fn native(&self) -> Value {
        read(self.native)
    }

    /// The schedule of a request that names this one, or none; `None` leaves it to the registry.
    pub fn schedule(&self, named: Option<&'static Scheduler>) -> Option<Value> {
        let automatic = SCHEDULERS.iter().find(|scheduler| Some(scheduler.name) == self.automatic);
        let mut schedule = read(named.or(automatic)?.native);
        let (start, time, end) = match self.path {
            Path::Sigmas | Path::SigmasButOne => ("sigma", "real", "zero"),
            Path::Times => ("unit", "integer", "first"),
            Path::RealTimes => ("unit", "real", "first"),
        };
        let leaves = LEAVE_LAST.iter().any(|name| schedule["name"] == *name);
        let ends = [("start", json!(start)), ("time", json!(time)), ("end", json!(end))];
        let last = (self.path == Path::SigmasButOne && leaves).then_some(("drop_last", json!(true)));
        let fields = schedule.as_object_mut()?;
        for (name, value) in ends.into_iter().chain(last) {
            fields.entry(name).or_insert(value);
        }
        Some(schedule)
    }
}

/// The sampler of that name or alias, in any case; and the schedule that old versions had in the same name.
///
/// # Errors
/// What to tell a client, with every name.
pub fn find_sampler(given: &str) -> Result<(&'static Sampler, Option<&'static Scheduler>), String> {
    if let Some(found) = named(given) {
        return Ok((found, None));
    }
    let split = |label: &str| {
        let at = given.len().checked_sub(label.len() + 1).filter(|at| given.is_char_boundary(*at))?;
        given[at..].trim_start().eq_ignore_ascii_case(label).then(|| named(&given[..at])).flatten()
    };
    let old = SCHEDULERS.iter().find_map(|scheduler| Some((split(scheduler.label)?, Some(scheduler))));
    let names = || SAMPLERS.iter().map(|sampler| sampler.name).collect::<Vec<_>>();
    old.ok_or_else(|| unknown("sampler", given, &names()))
}

fn named(given: &str) -> Option<&'static Sampler> {
    let is = |name: &str| name.eq_ignore_ascii_case(given.trim());
    SAMPLERS.iter().find(|sampler| is(sampler.name) || sampler.aliases.iter().any(|alias| is(alias)))
}

/// The schedule of that name or label, in any case; `None` where it is left to the sampler.
///
/// # Errors
/// What to tell a client, with every name.
pub fn find_scheduler(given: &str) -> Result<Option<&'static Scheduler>, String> {
    let is = |name: &str| name.eq_ignore_ascii_case(given.trim());
    if is("") || is(AUTOMATIC.0) {
        return Ok(None);
    }
    let mine = |scheduler: &&Scheduler| {
        is(scheduler.name) || is(scheduler.label) || scheduler.aliases.iter().any(|alias| is(alias))
    };
    let names = || -> Vec<&str> {
        std::iter::once(AUTOMATIC.0).chain(SCHEDULERS.iter().map(|scheduler| scheduler.name)).collect()
    };
    SCHEDULERS.iter().find(mine).map(Some).ok_or_else(|| unknown("scheduler", given, &names()))
}

fn read(native: &str) -> Value {
    serde_json::from_str(native).expect("the tables hold JSON")
}
