//! Claims jobs that fit and places their runs on devices; passes on what the threads report.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::{sync::mpsc::UnboundedReceiver, task::JoinHandle};
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::{
    Engine, Running, Worker,
    events::{Event, Preview},
    forecast::Forecast,
    hold, inputs,
    message::{Command, Estimates, Report, Start},
    results,
    slab::{Counters, UNKNOWN},
};
use crate::{
    error::{Code, Failure},
    job::{ImageState, Job, JobError},
    pixels,
    store::{Claim, Room},
    task::Task,
};

/// Jobs of each owner that are looked at for a forecast.
const MOST_FORESEEN: u32 = 500;

/// How often deadlines are looked at.
const CLOCK: Duration = Duration::from_millis(250);

/// Works until the process ends.
pub async fn run(engine: Engine, mut reports: UnboundedReceiver<Report>) {
    let mut clock = tokio::time::interval(CLOCK);
    claim(&engine).await;
    loop {
        tokio::select! {
            () = engine.0.wake.notified() => claim(&engine).await,
            report = reports.recv() => match report {
                Some(report) => hear(&engine, report).await,
                None => return,
            },
            _ = clock.tick() => {
                overdue(&engine).await;
                foresee(&engine).await;
            }
        }
    }
}

async fn hear(engine: &Engine, report: Report) {
    match report {
        Report::Progress(job) => progress(engine, job),
        Report::Preview(estimates) => preview(engine, estimates),
        Report::Ended { job, attempt, end } => {
            let span = hold(&engine.0.running)
                .get(&job)
                .filter(|running| running.attempt == attempt)
                .map(|running| running.span.clone());
            if let Some(span) = span {
                tokio::spawn(results::finish(engine.clone(), job, attempt, end).instrument(span));
            }
        }
        Report::Measured(measured, file) => drop(tokio::task::spawn_blocking(move || measured.keep(Some(&file)))),
        Report::Dead(cause) => {
            tracing::error!(cause, "the device is lost; its jobs are claimed again by the next process");
            #[expect(clippy::exit, reason = "only a new process can use the device again")]
            std::process::exit(1);
        }
    }
}

fn progress(engine: &Engine, job: Uuid) {
    let told = hold(&engine.0.running).get(&job).map(|running| (running.attempt, running.counters.progress()));
    if let Some((attempt, progress)) = told {
        engine.events().publish(job, attempt, Event::Progress(progress));
    }
}

/// Promised previews are told in order, each one, before the job's end is.
fn preview(engine: &Engine, estimates: Estimates) {
    let mut jobs = hold(&engine.0.running);
    match jobs.get_mut(&estimates.job) {
        Some(running) if estimates.owed => {
            let before = running.previews.take();
            running.previews = Some(tokio::spawn(show(engine.clone(), estimates, before)));
        }
        Some(_) => drop(tokio::spawn(show(engine.clone(), estimates, None))),
        None => {}
    }
}

async fn show(engine: Engine, estimates: Estimates, before: Option<JoinHandle<()>>) {
    if let Some(before) = before {
        // One that panicked has said so.
        let _ = before.await;
    }
    let Estimates { job, attempt, evaluations, .. } = estimates;
    let pictures = estimates.pictures.clone();
    let Ok(Ok(drawn)) = tokio::task::spawn_blocking(move || drawn(&estimates)).await else { return };
    for (index, bytes) in pictures.into_iter().zip(drawn) {
        engine.events().preview(job, attempt, Preview { index, evaluations, bytes: Bytes::from(bytes) });
    }
}

fn drawn(estimates: &Estimates) -> Result<Vec<Vec<u8>>, Failure> {
    let Estimates { card, size, latents, .. } = estimates;
    let shape = card.latent_for(size.0, size.1);
    let rows = (0..latents.size()[0]).map(|row| Vec::<f32>::try_from(latents.get(row).reshape([-1])));
    rows.map(|row| pixels::preview(&row?, shape, card.preview.as_deref(), *size)).collect()
}

/// Claims as long as something fits.
async fn claim(engine: &Engine) {
    while !engine.draining() && engine.ready() {
        let Some((worker, room)) = room(engine) else { return };
        let shares = hold(&engine.0.ledger).shares();
        let claimed = match engine.0.parts.store.claim(room, &shares).await {
            Ok(claimed) => claimed,
            Err(cause) => {
                tracing::error!(%cause, "jobs could not be claimed");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        depth(engine).await;
        if claimed.is_empty() {
            return;
        }
        // Planned first and begun together, so that runs that wait together share their forwards from the start.
        let mut starts = Vec::new();
        for claim in claimed {
            starts.extend(prepare(engine, worker, claim).await);
        }
        begin(engine, worker, starts);
    }
}

/// Milliseconds of a row evaluation: of jobs that have ended, else of those that run.
fn pace(engine: &Engine) -> Option<f64> {
    let ended = hold(&engine.0.ledger).per_work();
    ended.or_else(|| {
        let running = hold(&engine.0.running);
        let done = running.values().map(|running| (running.counters.device_us.load(Relaxed), running.done()));
        let (us, work) = done.fold((0, 0.0), |(us, work), (more_us, more)| (us + more_us, work + more));
        (work > 0.0).then(|| us as f64 / 1e3 / work)
    })
}

/// Plays through how long the jobs that wait will wait.
async fn foresee(engine: &Engine) {
    let Some(ms) = pace(engine) else { return };
    let queue = match engine.0.parts.store.waiting(MOST_FORESEEN).await {
        Ok(queue) => queue,
        Err(cause) => return tracing::error!(%cause, "the queue could not be read"),
    };
    let (room, held) = {
        let (workers, running) = (hold(&engine.0.workers), hold(&engine.0.running));
        let caps = workers.iter().map(|worker| u32::try_from(worker.cap.load(Relaxed)).unwrap_or(u32::MAX).max(1));
        let (all, devices) = caps.fold((0u32, 0), |(all, devices), cap| (all.saturating_add(cap), devices + 1));
        let cap = (all / devices.max(1) / 2).max(1);
        let room = Room { rows: all.saturating_mul(2), cap, at_least: 2 * devices, idle: false };
        (room, running.values().map(|running| running.held(cap)).collect())
    };
    let ms = ms / f64::from((room.at_least / 2).max(1));
    let shares = hold(&engine.0.ledger).shares();
    *hold(&engine.0.forecast) = Some(Forecast::of(held, queue, room, (shares, ms)));
}

/// The worker with the most free rows, and what may be claimed for it; `None` when all are full.
fn room(engine: &Engine) -> Option<(usize, Room)> {
    let (workers, running) = (hold(&engine.0.workers), hold(&engine.0.running));
    if running.values().any(|running| running.alone) {
        return None;
    }
    let free = |(at, worker): (usize, &Worker)| {
        let cap = u32::try_from(worker.cap.load(Relaxed)).unwrap_or(u32::MAX).max(1);
        let most = (cap / 2).max(1);
        let own = running.values().filter(|running| running.worker == at);
        let (jobs, rows) = own.fold((0, 0), |(jobs, rows), running| (jobs + 1, rows + running.rows.min(most)));
        let rows = (2 * cap).saturating_sub(rows);
        (at, Room { rows, cap: most, at_least: 2u32.saturating_sub(jobs), idle: running.is_empty() })
    };
    let best = workers.iter().enumerate().map(free).max_by_key(|(_, room)| (room.at_least, room.rows))?;
    (best.1.rows > 0 || best.1.at_least > 0).then_some(best)
}

/// Makes a claimed job's run ready, inside the request that asked for it where this process took that.
async fn prepare(engine: &Engine, worker: usize, claim: Claim) -> Option<Start> {
    let (job, attempt, model) = (claim.job.id, claim.job.attempt, claim.job.request.model());
    let request = hold(&engine.0.requests).remove(&job);
    let parent = request.as_ref().and_then(Span::id);
    let span = tracing::info_span!(parent: parent, "job", id = %job, attempt, model);
    let queue_ms = since(claim.job.created_at);
    engine.0.parts.metrics.queue_wait_seconds.observe(queue_ms as f64 / 1000.0);
    let counters = Arc::new(Counters::default());
    let (rows, work, alone, claimed) = (claim.rows, claim.work, claim.alone, Instant::now());
    hold(&engine.0.ledger).open(job, &claim.job.owner, work);
    let running = Running {
        attempt,
        worker,
        rows,
        work,
        counters: counters.clone(),
        claimed,
        queue_ms,
        alone,
        span: span.clone(),
        previews: None,
    };
    hold(&engine.0.running).insert(job, running);
    begun(engine, worker, claim, counters, queue_ms).instrument(span).await
}

async fn begun(engine: &Engine, worker: usize, claim: Claim, counters: Arc<Counters>, queue_ms: u64) -> Option<Start> {
    let (job, attempt) = (claim.job.id, claim.job.attempt);
    tracing::info!(rows = claim.rows, queue_ms, "started");
    let info = hold(&engine.0.workers)[worker].infos.get(claim.job.request.model()).cloned();
    if let Some(info) = &info
        && let Err(cause) = engine.0.parts.store.engine(job, attempt, info).await
    {
        tracing::warn!(%cause, "what computes the job was not noted");
    }
    let started = Job { engine: info, ..claim.job.clone() };
    engine.events().publish(job, attempt, Event::Started(Box::new(started)));
    match task(engine, &claim.job, &counters).await {
        // An earlier attempt stored every picture and died before the job's end was.
        Ok(None) => {
            results::finish(engine.clone(), job, attempt, Ok(Vec::new())).await;
            None
        }
        Ok(Some(task)) => Some(Start { job, attempt, task, counters, span: Span::current() }),
        Err(failure) => {
            results::finish(engine.clone(), job, attempt, Err(failure)).await;
            None
        }
    }
}

/// The task of what is still missing of a job, if anything is; its counters begin at what an earlier attempt made.
async fn task(engine: &Engine, job: &Job, counters: &Counters) -> Result<Option<Task>, Failure> {
    let images = job.images.iter().map(|image| (image.index, image.state));
    let results = images.chain(job.files.iter().map(|file| (file.index, file.state)));
    // One of several results of an index may be there already.
    let missing: BTreeSet<u32> =
        results.filter(|(_, state)| *state == ImageState::Pending).map(|(index, _)| index).collect();
    let made = u64::from(job.request.count()) - missing.len() as u64;
    let all_there = missing.is_empty();
    let task = inputs::task(&engine.0.parts, &job.request, missing.into_iter().collect())?;
    let each = task.evaluations();
    counters.evaluations.store(each.unwrap_or(0) * made, Relaxed);
    counters.of.store(each.map_or(UNKNOWN, |each| each * u64::from(job.request.count())), Relaxed);
    if all_there { Ok(None) } else { inputs::filled(&engine.0.parts, task).await.map(Some) }
}

fn begin(engine: &Engine, worker: usize, starts: Vec<Start>) {
    let workers = hold(&engine.0.workers);
    let running = hold(&engine.0.running);
    // One that was canceled meanwhile is no longer there.
    let starts: Vec<Start> = starts.into_iter().filter(|start| running.contains_key(&start.job)).collect();
    // A thread that is gone has said so, and the process ends.
    let _ = workers[worker].commands.send(Command::Start(starts));
}

async fn depth(engine: &Engine) {
    let parts = &engine.0.parts;
    let Ok(depth) = parts.store.depth().await else { return };
    for card in parts.catalog.iter() {
        let jobs = depth.iter().find(|(model, _)| **model == *card.id).map_or(0, |(_, jobs)| *jobs);
        parts.metrics.queue_depth.with_label_values(&[&*card.id]).set(i64::try_from(jobs).unwrap_or(i64::MAX));
    }
}

/// Ends the jobs whose `Cancel-After` is over.
async fn overdue(engine: &Engine) {
    let overdue = engine.0.parts.store.overdue(Timestamp::now()).await.unwrap_or_default();
    for id in overdue {
        let error = JobError {
            code: Code::Deadline,
            title: Code::Deadline.title().into(),
            detail: "The job had not finished when its Cancel-After was over.".into(),
        };
        if let Err(cause) = engine.cancel(id, Some(error)).await {
            tracing::error!(job = %id, %cause, "a job past its deadline could not be canceled; it is tried again");
        }
    }
}

/// Milliseconds since a time.
pub fn since(time: Timestamp) -> u64 {
    u64::try_from(Timestamp::now().as_millisecond() - time.as_millisecond()).unwrap_or(0)
}
