//! `scheduler_config.json`: the training process, what the network predicts, and the defaults it suggests.

use std::{path::Path, sync::Arc};

use super::options::Options;
use crate::{
    denoiser::Prediction,
    error::Result,
    model::Defaults,
    process::{Betas, Process, Vp},
};

/// What a scheduler configuration says about a model.
#[derive(Debug)]
pub struct Scheduler {
    /// What the network was trained on.
    pub process: Arc<dyn Process>,
    /// What it predicts.
    pub prediction: Prediction,
    /// Whether the network's second half of channels is a share of the log variance.
    pub learned_range: bool,
    /// The offset of `leading` spacings.
    pub steps_offset: u32,
    /// Sampler and schedule of its class, in our names; the rest is our own.
    pub defaults: Defaults,
}

/// Our names for a scheduler class and its spacing where the file does not say.
fn class(name: &str) -> (&'static str, &'static str) {
    match name {
        "DDIMScheduler" => ("ddim", "leading"),
        "DDPMScheduler" => ("ddpm", "leading"),
        "EulerDiscreteScheduler" => ("euler", "linspace"),
        "EulerAncestralDiscreteScheduler" => ("euler_a", "linspace"),
        "HeunDiscreteScheduler" => ("heun", "linspace"),
        "DPMSolverMultistepScheduler" => ("dpmpp_2m", "linspace"),
        _ => ("dpmpp_2m", "leading"),
    }
}

impl Scheduler {
    /// Reads `scheduler_config.json`. Options that concern only how Python samples are not ours.
    ///
    /// # Errors
    /// A broken file, an unknown beta schedule or prediction type, betas outside 0..1, or epsilon prediction with
    /// `rescale_betas_zero_snr`: at a signal-to-noise ratio of 0 the noise says nothing about the picture.
    pub fn read(path: &Path) -> Result<Self> {
        let mut options = Options::read(path)?;
        let betas = betas(&mut options)?;
        let prediction = options.take("prediction_type", Prediction::Epsilon)?;
        let zero_terminal = options.take("rescale_betas_zero_snr", false)?;
        if zero_terminal && prediction == Prediction::Epsilon {
            return Err(options.wrong(
                "`prediction_type`: epsilon and `rescale_betas_zero_snr`: true exclude each other: where there is no \
                 signal, the noise says nothing about the picture",
            ));
        }
        let process = if zero_terminal { Vp::zero_terminal(&betas) } else { Vp::new(&betas) };
        let (sampler, spacing) = class(&options.take("_class_name", String::new())?);
        let spacing = options.take("timestep_spacing", spacing.to_owned())?;
        let spaced = |name: &str| if name.is_empty() { spacing.clone() } else { name.to_owned() };
        let karras = options.take("use_karras_sigmas", false)?;
        let exponential = options.take("use_exponential_sigmas", false)?;
        let lambdas = options.take("use_lu_lambdas", false)?;
        let schedule = match (karras, exponential, lambdas) {
            (true, ..) => spaced("karras"),
            (_, true, _) => spaced("exponential"),
            (_, _, true) => spaced("uniform_lambda"),
            _ => spaced(""),
        };
        let defaults = Defaults { sampler: sampler.into(), schedule, ..Defaults::default() };
        let steps_offset = options.take("steps_offset", 0)?;
        let learned_range = options.take("variance_type", String::new())? == "learned_range";
        Ok(Self { process: Arc::new(process), prediction, learned_range, steps_offset, defaults })
    }
}

fn betas(options: &mut Options) -> Result<Betas> {
    let steps: usize = options.take("num_train_timesteps", 1000)?;
    let ends = (options.take("beta_start", 1e-4)?, options.take("beta_end", 0.02)?);
    let named: String = options.take("beta_schedule", "linear".into())?;
    let betas = match (options.take::<Option<Vec<f64>>>("trained_betas", None)?, named.as_str()) {
        (Some(trained), _) => Betas::Trained(trained),
        (None, "linear") => Betas::Linear { ends, steps },
        (None, "scaled_linear") => Betas::ScaledLinear { ends, steps },
        (None, "squaredcos_cap_v2") => Betas::Cosine { steps },
        (None, other) => return Err(options.wrong(format!("`beta_schedule`: {other} is not implemented"))),
    };
    let proper = |beta: f64| beta > 0.0 && beta < 1.0;
    let fine = match &betas {
        Betas::Trained(trained) => trained.len() >= 2 && trained.iter().copied().all(proper),
        Betas::Linear { .. } | Betas::ScaledLinear { .. } => proper(ends.0) && proper(ends.1) && steps >= 2,
        Betas::Cosine { .. } => steps >= 2,
    };
    if fine && steps <= 1_000_000 {
        Ok(betas)
    } else {
        Err(options.wrong("the betas must be two or more numbers between 0 and 1"))
    }
}
