//! Faults that users of other services reported: samplers, against a plain reading of the papers in f64.

use base64::{Engine, prelude::BASE64_STANDARD};
use darkroom::{
    model::gaussian::Mixture,
    noise::{Purpose, normals},
    pixels::latents,
};
use serde_json::{Value, json};
use tch::Device;

use crate::support::server::{Home, Server};

const SHAPE: [i64; 3] = [1, 8, 8];
const PIXELS: usize = 64;
const SEED: u64 = 7;

/// The whole mixture, one number at a time.
struct Exact {
    means: Vec<f64>,
    stds: Vec<f64>,
    bars: Vec<f64>,
}

impl Exact {
    /// The built-in mixture under the process of Stable Diffusion: `sqrt(beta)` linear from sqrt(0.00085) to sqrt(0.012).
    fn new() -> Self {
        let mixture = Mixture::waves(PIXELS, Device::Cpu);
        let (first, last) = (0.00085_f64.sqrt(), 0.012_f64.sqrt());
        let betas = (0..1000).map(|i| (first + (last - first) * f64::from(i) / 999.0).powi(2));
        let bars = betas.scan(1.0, |bar, beta| {
            *bar *= 1.0 - beta;
            Some(*bar)
        });
        Self { bars: bars.collect(), means: Vec::try_from(mixture.means.view(-1)).unwrap(), stds: mixture.stds }
    }

    /// `E[x0 | x]` at `alpha_bar`, for components of equal weight.
    fn denoise(&self, x: &[f64], bar: f64) -> Vec<f64> {
        let means = || self.means.chunks(PIXELS).zip(&self.stds);
        let variance = |std: f64| bar * std * std + 1.0 - bar;
        let far = |mean: &[f64]| x.iter().zip(mean).map(|(x, m)| (x - bar.sqrt() * m).powi(2)).sum::<f64>();
        let logs: Vec<f64> = means()
            .map(|(mean, std)| -far(mean) / (2.0 * variance(*std)) - 0.5 * PIXELS as f64 * variance(*std).ln())
            .collect();
        let top = logs.iter().copied().fold(f64::MIN, f64::max);
        let total: f64 = logs.iter().map(|log| (log - top).exp()).sum();
        let mut x0 = vec![0.0; PIXELS];
        for ((mean, std), log) in means().zip(&logs) {
            let (share, pull) = ((log - top).exp() / total, bar.sqrt() * std * std / variance(*std));
            for (i, out) in x0.iter_mut().enumerate() {
                *out += share * (mean[i] + pull * (x[i] - bar.sqrt() * mean[i]));
            }
        }
        x0
    }

    /// Runs `step(x, x0, bar, bar of the next time, index)` over the times; `next` says which time comes after the k-th.
    fn run(&self, times: &[i64], next: impl Fn(usize) -> i64, step: Step) -> Vec<f64> {
        let bar = |t: i64| usize::try_from(t).map_or(1.0, |t| self.bars[t]);
        let mut x = start();
        for (k, t) in times.iter().enumerate() {
            let x0 = self.denoise(&x, bar(*t));
            x = step(&x, &x0, (bar(*t), bar(next(k))), k);
        }
        x
    }
}

type Step = fn(&[f64], &[f64], (f64, f64), usize) -> Vec<f64>;

/// Song et al. 2021, eq. 12, eta 0.
fn ddim(x: &[f64], x0: &[f64], (bar, next): (f64, f64), _: usize) -> Vec<f64> {
    let eps = |x: &f64, x0: &f64| (x - bar.sqrt() * x0) / (1.0 - bar).sqrt();
    x.iter().zip(x0).map(|(x, x0)| next.sqrt() * x0 + (1.0 - next).sqrt() * eps(x, x0)).collect()
}

/// Ho et al. 2020, eq. 7 with the beta of the skipped steps, and the posterior's variance.
fn ddpm(x: &[f64], x0: &[f64], (bar, next): (f64, f64), k: usize) -> Vec<f64> {
    let kept = bar / next;
    let (of_x0, of_x) = (next.sqrt() * (1.0 - kept) / (1.0 - bar), kept.sqrt() * (1.0 - next) / (1.0 - bar));
    let std = ((1.0 - next) / (1.0 - bar) * (1.0 - kept)).sqrt();
    let noise = normals(SEED, Purpose::Step, u32::try_from(k).unwrap(), PIXELS);
    let mean = x.iter().zip(x0).map(|(x, x0)| of_x0 * x0 + of_x * x);
    mean.zip(noise).map(|(mean, z)| mean + std * f64::from(z)).collect()
}

/// Where every run starts: any numbers, written down as f32.
fn start() -> Vec<f64> {
    normals(99, Purpose::Start, 0, PIXELS).into_iter().map(f64::from).collect()
}

fn trailing(steps: i64) -> Vec<i64> {
    (0..steps).map(|k| (1000.0 - k as f64 * 1000.0 / steps as f64).round() as i64 - 1).collect()
}

fn linspace(steps: i64) -> Vec<i64> {
    (0..steps).map(|k| (999.0 - 999.0 * k as f64 / (steps - 1) as f64).round() as i64).collect()
}

async fn latents_of(server: &Server, sampler: &str, schedule: &str, steps: usize) -> Vec<f64> {
    let begin: Vec<f32> = start().into_iter().map(|value| value as f32).collect();
    let job = server
        .make(json!({"sampler": sampler, "schedule": schedule, "steps": steps, "seed": SEED,
            "latents": BASE64_STANDARD.encode(latents::write(&begin, SHAPE).unwrap()), "output": {"format": "safetensors"}}))
        .await;
    let file = server.get(job["files"][0]["url"].as_str().unwrap()).send().await.unwrap().bytes().await.unwrap();
    latents::read(&file, SHAPE).unwrap().into_iter().map(f64::from).collect()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// C22: where the steps do not divide the training times, the next time is the next of the list, not one stride below.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_time_is_the_next_of_the_list() {
    let home = Home::new();
    let (server, exact) = (home.start(), Exact::new());
    assert_eq!(trailing(13)[..3], [999, 922, 845]);
    for (name, step) in [("ddim", ddim as Step), ("ddpm", ddpm)] {
        for (schedule, times) in [("trailing", trailing(13)), ("linspace", linspace(10))] {
            let steps = times.len();
            let stride = 1000 / i64::try_from(steps).unwrap();
            let right = exact.run(&times, |k| times.get(k + 1).copied().unwrap_or(-1), step);
            let naive = exact.run(&times, |k| times[k] - stride, step);
            let made = latents_of(&server, name, schedule, steps).await;
            let (near, far) = (distance(&made, &right), distance(&made, &naive));
            assert!(near < 1e-4, "{name} {schedule}: {near} from the paper");
            assert!(far > 1e-2, "{name} {schedule}: {far} from the fault: this test could not see it");
        }
    }
}

/// C25: any number of steps fits into the training times, and no number of steps asks for a time beyond them.
#[tokio::test(flavor = "multi_thread")]
async fn leading_with_an_offset_stays_inside_the_training_times() {
    let home = Home::new();
    let server = home.start();
    let wish =
        |name: &str, steps: u32| json!({"sampler": name, "schedule": {"name": "leading", "offset": 1}, "steps": steps});
    for steps in [1, 2, 3, 9, 27, 999, 1000] {
        for name in ["ddim", "ddpm", "plms"] {
            let job: Value = server.make(wish(name, steps)).await;
            // The first step of PLMS takes two, but for one into sigma 0.
            let second = u32::from(name == "plms" && steps > 1);
            assert_eq!(job["usage"]["evaluations"], steps + second, "{name} {steps}");
        }
    }
    let refused: Value =
        server.post("/v1/generations", &wish("ddim", 1001)).send().await.unwrap().json().await.unwrap();
    assert_eq!(refused["errors"][0]["pointer"], "/steps", "{refused}");
}

/// C23: the last block of third order may end in sigma 0, whatever the steps leave for it.
#[tokio::test(flavor = "multi_thread")]
async fn single_steps_of_third_order_end_for_every_number_of_steps() {
    let home = Home::new();
    let server = home.start();
    for steps in 1..=20 {
        for threshold in [json!(null), json!({})] {
            let job: Value = server
                .make(json!({"sampler": {"name": "dpm_solver", "order": 3, "threshold": threshold}, "steps": steps}))
                .await;
            assert_eq!(job["usage"]["evaluations"], steps);
            let url = job["images"][0]["url"].as_str().unwrap();
            let png = server.get(url).send().await.unwrap().bytes().await.unwrap();
            let picture = image::load_from_memory(&png).unwrap().into_rgb8();
            let (least, most) = (picture.as_raw().iter().min(), picture.as_raw().iter().max());
            assert!(least < most, "{steps} steps: one colour, {least:?}");
        }
    }
}
