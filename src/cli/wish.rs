//! The options that generations and edits share.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    Misuse,
    made::format,
    values::{name_or_json, size},
};

/// What a picture is made with.
#[derive(Debug, Args)]
pub struct Wish {
    /// Where to write it; .png, .jpg, .webp, or .safetensors for the final latents. Several get -0, -1 ... before the dot.
    #[arg(short, long, value_name = "FILE", default_value = "picture.png")]
    pub output: PathBuf,
    /// What it does not show.
    #[arg(long, value_name = "PROMPT", default_value = "")]
    negative: String,
    /// How the prompts are read: plain, or weighted for brackets as in (word:1.3), and BREAK.
    #[arg(long, value_name = "NAME")]
    prompt_syntax: Option<String>,
    /// Id of the model; `darkroom models` lists them.
    #[arg(long, value_name = "ID")]
    pub model: Option<String>,
    /// Class index, for models that take one.
    #[arg(long)]
    label: Option<u32>,
    /// Steps.
    #[arg(long)]
    steps: Option<u32>,
    /// Picture k is made from this number plus k; drawn when left out.
    #[arg(long)]
    seed: Option<u64>,
    /// Pixels, such as 64x64.
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<(u32, u32)>,
    /// Pictures.
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// A name, or an object in JSON: {"name": "ddim", "eta": 0.5}.
    #[arg(long, value_name = "NAME|JSON", value_parser = name_or_json)]
    sampler: Option<Value>,
    /// A name, or an object in JSON.
    #[arg(long, value_name = "NAME|JSON", value_parser = name_or_json)]
    schedule: Option<Value>,
    /// A number, a name, or an object in JSON.
    #[arg(long, value_name = "W|NAME|JSON", value_parser = name_or_json)]
    guidance: Option<Value>,
}

impl Wish {
    /// The fields of the request that an HTTP client would send.
    ///
    /// # Errors
    /// A file of no known format.
    pub fn fields(&self) -> Result<Map<String, Value>, Misuse> {
        let mut fields = Map::new();
        let mut give = |name: &str, value: Option<Value>| drop(value.map(|value| fields.insert(name.into(), value)));
        give("negative_prompt", Some(self.negative.clone().into()));
        give("prompt_syntax", self.prompt_syntax.clone().map(Value::from));
        give("count", Some(self.count.into()));
        give("output", Some(json!({ "format": format(&self.output)? })));
        give("label", self.label.map(Value::from));
        give("steps", self.steps.map(Value::from));
        give("seed", self.seed.map(Value::from));
        give("width", self.size.map(|size| size.0.into()));
        give("height", self.size.map(|size| size.1.into()));
        give("sampler", self.sampler.clone());
        give("schedule", self.schedule.clone());
        give("guidance", self.guidance.clone());
        Ok(fields)
    }
}
