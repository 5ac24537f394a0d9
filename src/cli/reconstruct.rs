use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Misuse, compare::run, in_memory, values::name_or_json};
use crate::{
    app::App,
    config::Config,
    edit::EDIT_METHODS,
    http::{caller::Caller, edits, form::Form, valid::Valid},
    job::Job,
    pixels::latents,
    telemetry,
};

/// Measure how exactly editing methods give pictures back where the wish is what the picture shows.
///
/// Each picture is inverted and walked back under its own caption; what comes back is compared with its latents. Writes
/// table.md and results.json into a folder, and prints the table.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A JSON list of {"file", "caption"}, files beside it.
    pictures: PathBuf,
    /// Methods, names or objects in JSON; repeat it. All that ask what a picture shows when left out.
    #[arg(long = "method", value_name = "NAME|JSON", value_parser = name_or_json)]
    methods: Vec<Value>,
    /// Steps.
    #[arg(long, value_delimiter = ',', default_value = "10,20,50", value_name = "N,N")]
    steps: Vec<u32>,
    /// Scale of classifier-free guidance, on both ways where the method has it on both.
    #[arg(long, default_value_t = 4.0)]
    guidance: f64,
    /// Share of the steps that are gone back.
    #[arg(long, default_value_t = 1.0)]
    strength: f64,
    /// Id of the model; `darkroom models` lists them.
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// The folder for what comes out; made when missing.
    #[arg(short, long, value_name = "FOLDER", default_value = "reconstruct")]
    output: PathBuf,
}

/// A picture and what it shows.
#[derive(Debug, Deserialize)]
struct Picture {
    file: String,
    caption: String,
}

/// One row of the table.
#[derive(Debug, Serialize)]
struct Row {
    method: Value,
    steps: u32,
    evaluations: f64,
    mean_db: f64,
    least_db: f64,
}

impl Arguments {
    /// Makes all pictures, measures them, and writes what came out.
    pub async fn run(self, mut config: Config) -> anyhow::Result<()> {
        in_memory(&mut config, self.model.as_deref());
        telemetry::start(&config.log)?;
        config.drain.timeout_s = 0;
        config.queue.max_depth = u32::MAX.into();
        let text = fs::read_to_string(&self.pictures).with_context(|| self.pictures.display().to_string())?;
        let pictures: Vec<Picture> = serde_json::from_str(&text).map_err(|error| Misuse(error.to_string()))?;
        let app = App::start(config).await?;
        let rows = self.rows(&app, &pictures).await;
        app.drain().await;
        self.write(&rows?)
    }

    fn methods(&self) -> Vec<Value> {
        let asking = EDIT_METHODS.iter().filter(|kind| kind.method().invert().is_some());
        match self.methods.is_empty() {
            true => asking.map(|kind| kind.entry.name.into()).collect(),
            false => self.methods.clone(),
        }
    }

    async fn rows(&self, app: &Arc<App>, pictures: &[Picture]) -> anyhow::Result<Vec<Row>> {
        let whole = self.latents(app, (&json!("sdedit"), 1), 0.0, pictures).await?;
        let mut rows = Vec::new();
        for method in self.methods() {
            for steps in &self.steps {
                let back = self.latents(app, (&method, *steps), self.strength, pictures).await?;
                let decibels: Vec<_> = whole.iter().zip(&back).map(|((_, x), (_, y))| psnr(x, y)).collect();
                let n = decibels.len() as f64;
                rows.push(Row {
                    method: method.clone(),
                    steps: *steps,
                    evaluations: back.iter().map(|(evaluations, _)| *evaluations as f64).sum::<f64>() / n,
                    mean_db: decibels.iter().sum::<f64>() / n,
                    least_db: decibels.iter().copied().fold(f64::INFINITY, f64::min),
                });
            }
        }
        Ok(rows)
    }

    /// Evaluations and final latents of each picture's edit under its own caption.
    async fn latents(
        &self,
        app: &Arc<App>,
        (method, steps): (&Value, u32),
        strength: f64,
        pictures: &[Picture],
    ) -> anyhow::Result<Vec<(u64, Vec<f32>)>> {
        let mut accepted = Vec::new();
        for picture in pictures {
            accepted.push((0, self.accepted(app, (method, steps), strength, picture).await?));
        }
        let title = [format!("{} in {steps}", name(method))];
        let mut made = Vec::new();
        for job in run::run(app, accepted, &title, "evaluations").await? {
            made.push((job.usage.map_or(0, |usage| usage.evaluations), read(app, &job).await?));
        }
        Ok(made)
    }

    async fn accepted(
        &self,
        app: &App,
        (method, steps): (&Value, u32),
        strength: f64,
        Picture { file, caption }: &Picture,
    ) -> anyhow::Result<Valid> {
        let path = self.pictures.parent().unwrap_or(Path::new("")).join(file);
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        let mut method = if method.is_string() { json!({ "name": method }) } else { method.clone() };
        // Where the noise is found under guidance of its own, it is that of the way down.
        let own = ["edit_friendly", "bdia", "edict"].iter().any(|name| method["name"] == *name);
        if own && method.get("source_guidance").is_none() {
            method["source_guidance"] = self.guidance.into();
        }
        let request = json!({
            "image": BASE64_STANDARD.encode(bytes), "prompt": caption, "source_prompt": caption, "method": method,
            "steps": steps, "strength": strength, "guidance": self.guidance, "seed": 1,
            "output": { "format": "safetensors" },
        });
        let valid = edits::accept(app, &Caller::anyone(), Form::Json(request)).await;
        Ok(valid.map_err(|problem| Misuse(format!("{} in {steps} steps: {problem}", name(&method))))?)
    }

    fn write(&self, rows: &[Row]) -> anyhow::Result<()> {
        let head = "| method | steps | evaluations | mean, dB | least, dB |\n|---|--:|--:|--:|--:|\n";
        let line = |row: &Row| {
            let Row { method, steps, evaluations, mean_db, least_db } = row;
            format!("| {} | {steps} | {evaluations:.0} | {mean_db:.1} | {least_db:.1} |\n", name(method))
        };
        let table = format!("{head}{}", rows.iter().map(line).collect::<String>());
        fs::create_dir_all(&self.output).with_context(|| self.output.display().to_string())?;
        for (file, text) in [("table.md", table.clone()), ("results.json", serde_json::to_string_pretty(rows)? + "\n")]
        {
            let path = self.output.join(file);
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        super::print(&table)
    }
}

/// A method's name with the options that were chosen.
fn name(method: &Value) -> String {
    match method.as_str() {
        Some(name) => name.into(),
        None => method.to_string().replace('|', "\\|"),
    }
}

async fn read(app: &App, job: &Job) -> anyhow::Result<Vec<f32>> {
    let Some(file) = job.files.first() else { bail!("a job left no latents") };
    if let Some(error) = &job.error {
        bail!("{}: {}", error.title, error.detail);
    }
    let card = app.catalog.get(Some(job.request.model())).map_err(anyhow::Error::msg)?;
    let (width, height) = job.request.size();
    let bytes = app.blobs.get(&file.id.to_string()).await?.context("a result is gone")?;
    latents::read(&bytes, card.latent_for(width, height)).map_err(|fault| anyhow::anyhow!("{fault}"))
}

/// Peak signal-to-noise ratio, where the peak is the range of the first.
fn psnr(whole: &[f32], back: &[f32]) -> f64 {
    let (least, most) = whole.iter().fold((f32::MAX, f32::MIN), |(a, b), x| (a.min(*x), b.max(*x)));
    let square = |(x, y): (&f32, &f32)| f64::from(x - y).powi(2);
    let mean = whole.iter().zip(back).map(square).sum::<f64>() / whole.len() as f64;
    20.0 * f64::from(most - least).log10() - 10.0 * mean.log10()
}
