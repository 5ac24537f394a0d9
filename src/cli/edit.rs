use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::Args;
use serde_json::{Map, Value};

use super::{Misuse, in_memory, made::make, values::name_or_json, wish::Wish};
use crate::{
    app::App,
    config::Config,
    http::{caller::Caller, edits, form::Form, inversions},
    telemetry,
};

/// Edit a picture here and now, without a server and without touching a server's store.
///
/// Prints the path of each picture. The same fields make the same pictures as POST /v1/edits; `darkroom methods` lists the
/// methods. With --invert the code of the picture is written instead, as POST /v1/inversions makes it: further edits may
/// start from it.
///
/// Examples:
///   darkroom edit heart.png "blue heart" --source "red heart" --method direct -o blue.png
///   darkroom edit heart.png "a cat" --mask mask.png
///   darkroom edit heart.png --source "red heart" --method edit_friendly --invert -o heart.safetensors
///   darkroom edit heart.safetensors "blue heart"
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The picture, PNG, JPEG or WebP, or the .safetensors of an inversion.
    image: PathBuf,
    /// What it shall show.
    #[arg(default_value = "")]
    prompt: String,
    /// What it shows now, for methods that ask.
    #[arg(long, value_name = "PROMPT", default_value = "")]
    source: String,
    /// Class index of what it shows now.
    #[arg(long, value_name = "LABEL")]
    source_label: Option<u32>,
    /// A picture of the same size: white may change, black stays.
    #[arg(long, value_name = "FILE")]
    mask: Option<PathBuf>,
    /// A name, or an object in JSON: {"name": "inpaint", "resample": 5}. Else `inpaint` with a mask, else `sdedit`.
    #[arg(long, value_name = "NAME|JSON", value_parser = name_or_json)]
    method: Option<Value>,
    /// Share of the steps that run, 0 to 1; the method's own when left out.
    #[arg(long)]
    strength: Option<f64>,
    /// How a picture of another size is brought to the model's: crop, stretch or pad.
    #[arg(long)]
    resize: Option<String>,
    /// Writes the code of the picture instead of an edit.
    #[arg(long, conflicts_with_all = ["mask"])]
    invert: bool,
    #[command(flatten)]
    wish: Wish,
}

impl Arguments {
    /// Makes the pictures, or the code, and writes them.
    pub async fn run(self, mut config: Config) -> anyhow::Result<()> {
        in_memory(&mut config, self.wish.model.as_deref());
        telemetry::start(&config.log)?;
        let fields = if self.invert { self.inversion()? } else { self.edit()? };
        let app = App::start(config).await?;
        let valid = match self.invert {
            true => inversions::accept(&app, &Caller::anyone(), fields.into()).await,
            false => edits::accept(&app, &Caller::anyone(), Form::Json(fields.into())).await,
        };
        let made = make(&app, valid, &self.wish.output).await;
        app.drain().await;
        made
    }

    fn edit(&self) -> anyhow::Result<Map<String, Value>> {
        let mut fields = self.shared()?;
        let mut give = |name: &str, value: Option<Value>| drop(value.map(|value| fields.insert(name.into(), value)));
        give("prompt", Some(self.prompt.clone().into()));
        give("source_prompt", Some(self.source.clone().into()));
        give("source_label", self.source_label.map(Value::from));
        give("mask", self.mask.as_deref().map(sent).transpose()?);
        Ok(fields)
    }

    fn inversion(&self) -> anyhow::Result<Map<String, Value>> {
        if self.wish.output.extension().is_none_or(|extension| extension != "safetensors") {
            return Err(Misuse("--invert writes a code: name a .safetensors file with --output".into()).into());
        }
        let mut fields = self.shared()?;
        fields.retain(|name, _| !["count", "output"].contains(&name.as_str()));
        fields.insert("prompt".into(), self.source.clone().into());
        if let Some(label) = self.source_label {
            fields.insert("label".into(), label.into());
        }
        Ok(fields)
    }

    fn shared(&self) -> anyhow::Result<Map<String, Value>> {
        let mut fields = self.wish.fields()?;
        let mut give = |name: &str, value: Option<Value>| drop(value.map(|value| fields.insert(name.into(), value)));
        let code = self.image.extension().is_some_and(|extension| extension == "safetensors");
        give(if code { "inversion" } else { "image" }, Some(sent(&self.image)?));
        give("method", self.method.clone());
        give("strength", self.strength.map(Value::from));
        give("resize", self.resize.clone().map(Value::from));
        Ok(fields)
    }
}

/// A file as a request brings it along.
fn sent(path: &Path) -> anyhow::Result<Value> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    Ok(BASE64_STANDARD.encode(bytes).into())
}
