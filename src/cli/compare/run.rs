//! Many jobs at once, with a progress bar for each lane of them.

use std::sync::Arc;

use anyhow::bail;
use futures_util::future::try_join_all;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::{
    app::{App, Terms},
    cli::Misuse,
    engine::events::Next,
    http::{caller::Caller, generations::accept, valid::Valid},
    job::{Job, Progress},
    store::Found,
};

/// A request to be made.
#[derive(Debug)]
pub struct Wish {
    /// What to call it in a refusal.
    pub name: String,
    /// The bar that shows it.
    pub lane: usize,
    /// As an HTTP client would send it.
    pub request: Value,
}

/// The requests with every default filled in, with their lanes.
///
/// # Errors
/// The first that is refused.
pub async fn accepted(app: &App, wishes: Vec<Wish>) -> anyhow::Result<Vec<(usize, Valid)>> {
    let mut accepted = Vec::new();
    for Wish { name, lane, request } in wishes {
        let valid =
            accept(app, &Caller::anyone(), request).await.map_err(|problem| Misuse(format!("{name}: {problem}")))?;
        accepted.push((lane, valid));
    }
    Ok(accepted)
}

/// Runs them all and answers the jobs as they ended, in the same order; `unit` is what the bars count.
///
/// # Errors
/// The store.
pub async fn run(
    app: &Arc<App>,
    accepted: Vec<(usize, Valid)>,
    lanes: &[String],
    unit: &str,
) -> anyhow::Result<Vec<Job>> {
    let screen = MultiProgress::new();
    let bars = bars(&screen, &accepted, lanes, unit);
    let mut jobs = Vec::new();
    for (lane, valid) in accepted {
        jobs.push((lane, app.submit(valid, Terms::default()).await?));
    }
    let ended = try_join_all(jobs.iter().map(|(lane, job)| follow(app, job, &bars[*lane]))).await;
    screen.clear()?;
    ended
}

fn bars(screen: &MultiProgress, accepted: &[(usize, Valid)], lanes: &[String], unit: &str) -> Vec<ProgressBar> {
    let width = lanes.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let template = format!("{{prefix:{width}}} {{bar:40}} {{pos:>6}}/{{len}} {unit}, {{eta}} left");
    let style = ProgressStyle::with_template(&template).expect("the template is valid");
    let lane = |(lane, name): (usize, &String)| {
        let costs = accepted.iter().filter(|(of, _)| *of == lane);
        let length = costs.map(|(_, valid)| valid.cost.evaluations * u64::from(valid.request.count())).sum();
        let bar = screen.add(ProgressBar::new(length).with_style(style.clone()).with_prefix(name.clone()));
        bar.tick();
        bar
    };
    lanes.iter().enumerate().map(lane).collect()
}

/// Moves the bar until the job has ended.
async fn follow(app: &App, job: &Job, bar: &ProgressBar) -> anyhow::Result<Job> {
    let Found::Here((_, mut events)) = app.listen(job.id, None).await? else { bail!("a job is gone") };
    let mut seen = 0;
    while let Some(next) = events.next().await {
        let Next::Event(frame) = next else { continue };
        if frame.name == "progress" {
            let progress: Progress = serde_json::from_str(&frame.data)?;
            bar.inc(progress.evaluations.saturating_sub(seen));
            seen = seen.max(progress.evaluations);
        }
    }
    match app.store.job(job.id).await? {
        Found::Here(job) => Ok(job),
        _ => bail!("a job is gone"),
    }
}
