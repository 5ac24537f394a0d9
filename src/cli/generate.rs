use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    Misuse, in_memory,
    values::{name_or_json, size},
};
use crate::{
    app::App,
    config::Config,
    engine::events::Next,
    http::generations::accept,
    job::{Format, Job, Progress, Status},
    store::Found,
    telemetry,
};

/// Make pictures here and now, without a server and without touching a server's store.
///
/// Prints the path of each picture. The same fields make the same pictures as POST /v1/generations.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What the picture shows.
    #[arg(default_value = "")]
    prompt: String,
    /// Where to write it; .png, .jpg, .webp, or .safetensors for the final latents. Several get -0, -1 ... before the dot.
    #[arg(short, long, value_name = "FILE", default_value = "picture.png")]
    output: PathBuf,
    /// What it does not show.
    #[arg(long, value_name = "PROMPT", default_value = "")]
    negative: String,
    /// Id of the model; `darkroom models` lists them.
    #[arg(long, value_name = "ID")]
    model: Option<String>,
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

impl Arguments {
    /// Makes the pictures and writes them.
    pub async fn run(self, mut config: Config) -> anyhow::Result<()> {
        in_memory(&mut config, self.model.as_deref());
        telemetry::start(&config.log)?;
        let request = self.request()?;
        let app = App::start(config).await?;
        let made = make(&app, request, &self.output).await;
        app.drain().await;
        made
    }

    /// The request that an HTTP client would send.
    fn request(&self) -> anyhow::Result<Value> {
        let mut fields = Map::new();
        let mut give = |name: &str, value: Option<Value>| drop(value.map(|value| fields.insert(name.into(), value)));
        give("prompt", Some(self.prompt.clone().into()));
        give("negative_prompt", Some(self.negative.clone().into()));
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
        Ok(fields.into())
    }
}

async fn make(app: &Arc<App>, request: Value, output: &Path) -> anyhow::Result<()> {
    let valid = accept(app, request).await.map_err(|problem| Misuse(problem.to_string()))?;
    let job = app.submit(valid, None).await?;
    let job = follow(app, job.id).await?;
    write(app, &job, output).await
}

/// Shows progress on a terminal until the job has ended.
async fn follow(app: &Arc<App>, id: Uuid) -> anyhow::Result<Job> {
    let style =
        ProgressStyle::with_template("{bar:40} {pos}/{len} evaluations, {eta} left").expect("the template is valid");
    let bar = ProgressBar::new(0).with_style(style);
    let Found::Here((_, mut events)) = app.listen(id, None).await? else { bail!("the job is gone") };
    while let Some(next) = events.next().await {
        let Next::Event(frame) = next else { continue };
        if frame.name == "progress" {
            let progress: Progress = serde_json::from_str(&frame.data)?;
            bar.set_length(progress.of.unwrap_or(progress.evaluations));
            bar.set_position(progress.evaluations);
        }
    }
    bar.finish_and_clear();
    match app.store.job(id).await? {
        Found::Here(job) => Ok(job),
        _ => bail!("the job is gone"),
    }
}

async fn write(app: &App, job: &Job, output: &Path) -> anyhow::Result<()> {
    for warning in &job.warnings {
        eprintln!("darkroom: warning: {}: {}", warning.pointer, warning.message);
    }
    if job.status != Status::Succeeded {
        let error = job.error.as_ref();
        bail!("{}", error.map_or("the job was canceled".into(), |error| format!("{}: {}", error.title, error.detail)));
    }
    let results = job.images.iter().map(|image| image.id).chain(job.files.iter().map(|file| file.id));
    let many = job.request.count() > 1;
    for (index, id) in results.enumerate() {
        let bytes = app.blobs.get(&id.to_string()).await?.context("a result is gone")?;
        let path = if many { numbered(output, index) } else { output.to_owned() };
        fs::write(&path, bytes).with_context(|| path.display().to_string())?;
        println!("{}", path.display());
    }
    Ok(())
}

/// `heart.png` to `heart-0.png`.
fn numbered(path: &Path, index: usize) -> PathBuf {
    let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(format!("{}-{index}.{}", part(path.file_stem()), part(path.extension())))
}

fn format(path: &Path) -> Result<Format, Misuse> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match extension.as_str() {
        "png" => Ok(Format::Png),
        "jpg" | "jpeg" => Ok(Format::Jpeg),
        "webp" => Ok(Format::Webp),
        "safetensors" => Ok(Format::Safetensors),
        _ => Err(Misuse(format!("{}: name a .png, .jpg, .webp or .safetensors file", path.display()))),
    }
}
