//! What a PNG says about how it was made.
//!
//! `darkroom` holds a request that, posted as it is, makes this one picture; `parameters` the text that tools of the
//! AUTOMATIC1111 family read. Neither holds an id, a time or anything else that would make equal pictures differ.

use png::chunk::{ChunkType, iTXt, tEXt};
use serde_json::Value;

use crate::job::Generation;

/// Our names of samplers and schedules, and what the AUTOMATIC1111 family calls the same; others keep ours.
const THEIR_NAMES: [(&str, &str); 31] = [
    ("align_your_steps", "Align Your Steps"),
    ("beta", "Beta"),
    ("ddim", "DDIM"),
    ("ddim_uniform", "DDIM"),
    ("ddpm", "DDPM"),
    ("dpm2", "DPM2"),
    ("dpm2_a", "DPM2 a"),
    ("dpm_adaptive", "DPM adaptive"),
    ("distilled", "Automatic"),
    ("dpm_fast", "DPM fast"),
    ("dpmpp_2m", "DPM++ 2M"),
    ("dpmpp_2m_sde", "DPM++ 2M SDE"),
    ("dpmpp_2s_a", "DPM++ 2S a"),
    ("dpmpp_3m_sde", "DPM++ 3M SDE"),
    ("dpmpp_sde", "DPM++ SDE"),
    ("euler", "Euler"),
    ("euler_a", "Euler a"),
    ("exponential", "Exponential"),
    ("heun", "Heun"),
    ("karras", "Karras"),
    ("kl_optimal", "KL Optimal"),
    ("lcm", "LCM"),
    ("linspace", "Uniform"),
    ("lms", "LMS"),
    ("normal", "Normal"),
    ("plms", "PLMS"),
    ("polyexponential", "Polyexponential"),
    ("restart", "Restart"),
    ("sgm_uniform", "SGM Uniform"),
    ("simple", "Simple"),
    ("unipc", "UniPC"),
];

/// Fields of a request that do not shape the picture, or name what only this server has.
const LEFT_OUT: [&str; 9] =
    ["image", "inversion", "mask", "latents", "output", "preview_every", "previews", "priority", "metadata"];

/// What one picture says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureText {
    /// JSON, under the keyword `darkroom`; none where no request makes this very picture.
    pub request: Option<String>,
    /// Lines, under the keyword `parameters`.
    pub parameters: String,
}

impl PictureText {
    /// The texts of picture `index` of a generation: the request has `seed + index` and `count` 1.
    pub fn of(request: &Generation, index: u32, model_sha256: &str) -> Self {
        let one = Generation { seed: request.seed + u64::from(index), count: 1, ..request.clone() };
        let mut json = serde_json::to_value(&one).expect("a request is plain data");
        if let Some(fields) = json.as_object_mut() {
            fields.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
        }
        Self { request: Some(json.to_string()), parameters: parameters(&one, model_sha256) }
    }

    /// Keywords and texts, in the order in which they are written.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let request = self.request.as_deref().map(|request| ("darkroom", request));
        std::iter::once(("parameters", self.parameters.as_str())).chain(request)
    }
}

/// A text chunk: `tEXt` where the text is printable Latin-1 with line feeds, as that chunk demands, else `iTXt` (PNG third
/// edition, 11.3.3), neither compressed.
pub fn chunk(keyword: &str, text: &str) -> (ChunkType, Vec<u8>) {
    let mut data = keyword.as_bytes().to_vec();
    match text.chars().map(latin1).collect::<Option<Vec<u8>>>() {
        Some(latin1) => {
            data.push(0);
            data.extend(latin1);
            (tEXt, data)
        }
        None => {
            // Keyword's end, not compressed, method 0, no language, no translated keyword.
            data.extend([0, 0, 0, 0, 0]);
            data.extend(text.as_bytes());
            (iTXt, data)
        }
    }
}

fn latin1(char: char) -> Option<u8> {
    u8::try_from(char).ok().filter(|byte| matches!(byte, b'\n' | 0x20..=0x7e | 0xa1..=0xff))
}

/// Prompt, negative prompt, and one last line of settings. Readers take the settings from the last line, so whatever lines
/// a prompt holds, ours are the ones that count.
fn parameters(one: &Generation, model_sha256: &str) -> String {
    let mut text = one.prompt.clone();
    if !one.negative_prompt.is_empty() {
        text.push_str("\nNegative prompt: ");
        text.push_str(&one.negative_prompt);
    }
    let settings: Vec<_> =
        settings(one, model_sha256).into_iter().map(|(name, value)| format!("{name}: {}", quoted(&value))).collect();
    format!("{text}\n{}", settings.join(", "))
}

fn settings(one: &Generation, model_sha256: &str) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    if let Some(steps) = one.steps.map(|steps| steps as usize).or_else(|| own_steps(&one.schedule)) {
        settings.push(("Steps", (steps + restarted(&one.sampler)).to_string()));
    }
    settings.push(("Sampler", their_sampler(&one.sampler)));
    settings.push(("Schedule type", their_name(&one.schedule)));
    if let Some(scale) = one.guidance.get("scale").and_then(Value::as_f64) {
        settings.push(("CFG scale", scale.to_string()));
    }
    settings.push(("Seed", one.seed.to_string()));
    if let Some(edit) = &one.edit {
        settings.push(("Denoising strength", edit.strength.to_string()));
    }
    settings.push(("Size", format!("{}x{}", one.width, one.height)));
    settings.push(("Model hash", model_sha256.chars().take(10).collect()));
    settings.push(("Model", one.model.clone()));
    if one.clip_skip > 0 {
        settings.push(("Clip skip", (one.clip_skip + 1).to_string()));
    }
    settings.extend(noises(&one.sampler));
    settings.push(("Version", concat!("darkroom ", env!("CARGO_PKG_VERSION")).to_owned()));
    settings
}

/// Steps of a schedule that lists its levels; `sigma` 0 is no step.
fn own_steps(schedule: &Value) -> Option<usize> {
    let list = |name: &str| schedule.get(name)?.as_array();
    let noisy = |sigmas: &Vec<Value>| sigmas.iter().filter(|sigma| sigma.as_f64() != Some(0.0)).count();
    list("timesteps").map(Vec::len).or_else(|| list("sigmas").map(noisy))
}

/// Steps that `restart` adds to those of its schedule, which that family counts with them.
fn restarted(sampler: &Value) -> usize {
    let number = |name: &str| sampler.get(name).and_then(Value::as_f64).unwrap_or(0.0);
    let restarts = sampler["name"] == "restart" && number("high") > number("low");
    if restarts { (number("steps") * number("times")) as usize } else { 0 }
}

/// That family has one name for each way of a sampler where ours has an option.
fn their_sampler(sampler: &Value) -> String {
    match (sampler["name"].as_str().unwrap_or_default(), &sampler["difference"], &sampler["order"]) {
        ("dpmpp_2m_sde", difference, _) if difference == "taylor" => "DPM++ 2M SDE Heun".into(),
        ("edm", _, order) if *order == 1 => "Euler".into(),
        ("edm", ..) => "Heun".into(),
        _ => their_name(sampler),
    }
}

/// What a sampler is told of noise, where it is not what that family takes for granted.
fn noises(sampler: &Value) -> impl Iterator<Item = (&'static str, String)> {
    let usual_eta = if sampler["name"] == "ddim" { 0.0 } else { 1.0 };
    let churn = sampler["churn"].as_f64().unwrap_or(0.0);
    let limit = |name: &str, endless: f64| sampler[name].as_f64().filter(|value| churn > 0.0 && *value != endless);
    let unlike = |name: &str, usual: f64| sampler[name].as_f64().filter(|value| *value != usual);
    let told = [
        ("Eta", unlike("eta", usual_eta)),
        ("Sigma churn", unlike("churn", 0.0)),
        ("Sigma tmin", limit("churn_min", 0.0)),
        ("Sigma tmax", limit("churn_max", 1e6)),
        ("Sigma noise", unlike("s_noise", 1.0)),
    ];
    told.into_iter().filter_map(|(name, value)| Some((name, value?.to_string())))
}

fn their_name(chosen: &Value) -> String {
    let ours = chosen.get("name").and_then(Value::as_str).unwrap_or_default();
    THEIR_NAMES.iter().find(|(name, _)| *name == ours).map_or(ours, |(_, theirs)| theirs).to_owned()
}

/// Values that would end early at a comma, a colon or a line's end are written as JSON strings.
fn quoted(value: &str) -> String {
    if value.contains([',', ':', '\n', '"']) { Value::from(value).to_string() } else { value.to_owned() }
}
