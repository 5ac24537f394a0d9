//! How far every run ended from the converged solution.

use anyhow::bail;
use image::RgbImage;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    made::Made,
    setup::{Contestant, Setup},
};
use crate::job::{Job, Request};

/// All that was found out.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The version that made it.
    pub darkroom: &'static str,
    /// What all runs have in common.
    pub request: Value,
    /// Seeds of the averages, counted from the request's.
    pub seeds: u32,
    /// What errors are measured against.
    pub reference: Reference,
    /// Each sampler's by rising steps.
    pub runs: Vec<Run>,
}

/// The converged solution.
#[derive(Debug, Serialize)]
pub struct Reference {
    /// Sampler and options, for people.
    pub title: String,
    /// Sampler and options.
    pub sampler: Value,
    /// Its steps.
    pub steps: u32,
    /// Its schedule.
    pub schedule: Value,
    /// Network evaluations of one picture.
    pub evaluations: f64,
    /// How far it moved when its steps were doubled to what they are, as an error: nothing smaller can be told apart.
    pub moved: f64,
    /// Of the first seed.
    #[serde(skip)]
    pub picture: RgbImage,
}

/// One sampler in one number of steps.
#[derive(Debug, Serialize)]
pub struct Run {
    /// Sampler and options, for people.
    pub title: String,
    /// Sampler and options.
    pub sampler: Value,
    /// Its steps.
    pub steps: u32,
    /// Network evaluations of one picture.
    pub evaluations: f64,
    /// Whether it drew noise, and therefore has no error.
    pub stochastic: bool,
    /// RMS of the difference of the latents over the RMS of the converged ones.
    pub error: Option<Spread>,
    /// Peak signal-to-noise ratio of the pictures against the converged ones in dB; null where they are equal, too.
    pub psnr_db: Option<f64>,
    /// Why there is no picture.
    pub failure: Option<String>,
    /// Of the first seed.
    #[serde(skip)]
    pub picture: Option<RgbImage>,
}

/// A number over several seeds.
#[derive(Debug, Serialize)]
pub struct Spread {
    /// Over the seeds.
    pub mean: f64,
    /// Of the best seed.
    pub least: f64,
    /// Of the worst seed.
    pub greatest: f64,
    /// Seed by seed.
    pub each: Vec<f64>,
}

impl Spread {
    fn of(each: Vec<f64>) -> Self {
        let mean = each.iter().sum::<f64>() / each.len() as f64;
        let (least, greatest) =
            (each.iter().copied().fold(f64::INFINITY, f64::min), each.iter().copied().fold(0.0, f64::max));
        Self { mean, least, greatest, each }
    }
}

impl Report {
    /// Measures what the runs of a setup made.
    ///
    /// # Errors
    /// The reference failed.
    pub fn new(setup: &Setup, jobs: &[Job], mut made: Vec<Result<Made, String>>) -> anyhow::Result<Self> {
        let (Some(coarse), Some(fine)) = (made.pop(), made.pop()) else { bail!("there is no reference") };
        let (Ok(coarse), Ok(fine)) = (&coarse, &fine) else {
            let said = [&fine, &coarse].into_iter().find_map(|it| it.as_ref().err()).map_or("", String::as_str);
            bail!("the converged solution failed: {said}; try another --reference");
        };
        let fine_job = &jobs[made.len()];
        let reference = Reference {
            title: setup.reference.title.clone(),
            sampler: setup.reference.sampler.clone(),
            steps: setup.reference_steps,
            schedule: setup.reference_schedule.clone(),
            evaluations: evaluations(fine_job),
            moved: errors(coarse, fine).mean,
            picture: fine.pictures[0].clone(),
        };
        let cells =
            setup.contestants.iter().flat_map(|contestant| setup.steps.iter().map(move |steps| (contestant, *steps)));
        let runs = cells.zip(jobs.iter().zip(made)).map(|(cell, (job, made))| run(cell, job, made, fine)).collect();
        let request = shared(&fine_job.request, &setup.schedule);
        Ok(Self { darkroom: env!("CARGO_PKG_VERSION"), request, seeds: fine_job.request.count(), reference, runs })
    }
}

fn run((contestant, steps): (&Contestant, u32), job: &Job, made: Result<Made, String>, converged: &Made) -> Run {
    let measured = made.as_ref().ok().filter(|_| !contestant.stochastic);
    Run {
        title: contestant.title.clone(),
        sampler: contestant.sampler.clone(),
        steps,
        evaluations: evaluations(job),
        stochastic: contestant.stochastic,
        error: measured.map(|made| errors(made, converged)),
        psnr_db: measured.and_then(|made| psnr(&made.pictures, &converged.pictures)),
        failure: made.as_ref().err().cloned(),
        picture: made.ok().map(|made| made.pictures[0].clone()),
    }
}

/// Of one picture.
fn evaluations(job: &Job) -> f64 {
    job.usage.as_ref().map_or(0.0, |usage| usage.evaluations as f64 / f64::from(job.request.count()))
}

/// The fields that make the picture, without what differs between the runs.
fn shared(request: &Request, schedule: &Value) -> Value {
    let Some(request) = request.pictures() else { return Value::Null };
    json!({
        "model": request.model, "label": request.label, "prompt": request.prompt,
        "negative_prompt": request.negative_prompt, "seed": request.seed, "width": request.width, "height": request.height,
        "guidance": request.guidance, "schedule": schedule,
    })
}

fn errors(made: &Made, converged: &Made) -> Spread {
    let pairs = made.latents.iter().zip(&converged.latents);
    Spread::of(pairs.map(|(x, exact)| (squares(x, exact) / squares(exact, &vec![0.0; exact.len()])).sqrt()).collect())
}

fn squares(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

/// Of all pictures together, in dB; `None` where they are equal.
fn psnr(pictures: &[RgbImage], converged: &[RgbImage]) -> Option<f64> {
    let bytes = |all: &'_ [RgbImage]| {
        all.iter().flat_map(|picture| picture.as_raw().iter().copied()).map(f64::from).collect::<Vec<_>>()
    };
    let (a, b) = (bytes(pictures), bytes(converged));
    let mean = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64;
    (mean > 0.0).then(|| 10.0 * (255.0_f64.powi(2) / mean).log10())
}
