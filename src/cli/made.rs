//! From a request to files, here and now.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use uuid::Uuid;

use super::Misuse;
use crate::{
    app::{App, Terms},
    engine::events::Next,
    http::{error::Problem, valid::Valid},
    job::{Format, Job, Progress, Status},
    store::Found,
};

/// Makes what a request asks for and writes it.
///
/// # Errors
/// A request that is not valid, a job that failed, or a file that cannot be written.
pub async fn make(app: &Arc<App>, valid: Result<Valid, Problem>, output: &Path) -> anyhow::Result<()> {
    let valid = valid.map_err(|problem| Misuse(problem.to_string()))?;
    let job = app.submit(valid, Terms::default()).await?;
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
    let results: Vec<_> = job.images.iter().map(|image| image.id).chain(job.files.iter().map(|file| file.id)).collect();
    let many = results.len() > 1;
    for (index, id) in results.into_iter().enumerate() {
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

/// The format that a file's name asks for.
///
/// # Errors
/// Another name.
pub fn format(path: &Path) -> Result<Format, Misuse> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match extension.as_str() {
        "png" => Ok(Format::Png),
        "jpg" | "jpeg" => Ok(Format::Jpeg),
        "webp" => Ok(Format::Webp),
        "safetensors" => Ok(Format::Safetensors),
        _ => Err(Misuse(format!("{}: name a .png, .jpg, .webp or .safetensors file", path.display()))),
    }
}
