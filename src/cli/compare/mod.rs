use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc};

use anyhow::{Context, bail};
use clap::{Args, value_parser};
use serde_json::Value;

use super::{
    in_memory,
    values::{name_or_json, size},
};
use crate::{app::App, config::Config, telemetry};

mod axis;
mod grid;
mod made;
mod plot;
mod report;
pub mod run;
mod setup;
mod style;
mod table;

use report::Report;
use setup::Setup;

/// Compare samplers: the same prompt and the same noise, walked by each in few and in many steps.
///
/// Every picture is measured against the converged one: the end of the probability-flow ODE from the same noise, which
/// --reference solves in --reference-steps steps. The error is the RMS difference of the latents over the RMS of the
/// converged latents. It is shown by network evaluations, which are what costs time, and not by steps.
///
/// Like is compared with like: all runs have the same seeds, guidance and schedule, and the same ends. These are start
/// `unit`, time `real` and end `first`, unless --schedule names others. The reference runs over levels uniform in lambda
/// between the noisiest and the least noisy level of that schedule, with the same ends. The report says how far the
/// reference still moved when its steps were doubled: differences below that mean nothing.
///
/// A sampler that draws noise converges to no picture of the start, so its pictures are shown and its error is left out.
///
/// All runs are in the engine at once and share their forwards. Writes plot.svg, grid.svg, table.md and results.json
/// into --output, and prints the table and where they are.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Arguments {
    /// Names of samplers, separated by commas; `darkroom methods` lists them [default: ddim,euler,heun,dpmpp_2m,unipc]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', help_heading = "Compared")]
    samplers: Vec<String>,
    /// One more sampler, a name or an object in JSON: {"name": "ddim", "eta": 0.5}. May be given often
    #[arg(long, value_name = "NAME|JSON", value_parser = name_or_json, help_heading = "Compared")]
    sampler: Vec<Value>,
    /// Numbers of steps, separated by commas
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "5,8,10,20,50",
        value_parser = value_parser!(u32).range(1..=1000), help_heading = "Compared")]
    steps: Vec<u32>,
    /// A name, or an object in JSON [default: the model's]
    #[arg(long, value_name = "NAME|JSON", value_parser = name_or_json, help_heading = "Compared")]
    schedule: Option<Value>,

    /// What the picture shows [default: "a red heart, twemoji style", for a model that reads text]
    #[arg(long, help_heading = "Picture")]
    prompt: Option<String>,
    /// What it does not show
    #[arg(long, value_name = "PROMPT", help_heading = "Picture")]
    negative: Option<String>,
    /// Id of the model; `darkroom models` lists them
    #[arg(long, value_name = "ID", help_heading = "Picture")]
    model: Option<String>,
    /// Class index, for models that take one
    #[arg(long, help_heading = "Picture")]
    label: Option<u32>,
    /// A number, a name, or an object in JSON [default: the model's]
    #[arg(long, value_name = "W|NAME|JSON", value_parser = name_or_json, help_heading = "Picture")]
    guidance: Option<Value>,
    /// Pixels, such as 64x64 [default: the model's]
    #[arg(long, value_name = "WxH", value_parser = size, help_heading = "Picture")]
    size: Option<(u32, u32)>,
    /// The first seed; the grid shows its pictures
    #[arg(long, default_value_t = 0, help_heading = "Picture")]
    seed: u64,
    /// Seeds that the error is averaged over, 16 at most; of several, the least and the greatest error are shown too
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=16),
        help_heading = "Picture")]
    seeds: u32,

    /// Its sampler, a name or an object in JSON; one that draws no noise
    #[arg(long, value_name = "NAME|JSON", default_value = "dpmpp_2m", value_parser = name_or_json,
        help_heading = "Converged solution")]
    reference: Value,
    /// Its steps
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = value_parser!(u32).range(2..=1000),
        help_heading = "Converged solution")]
    reference_steps: u32,

    /// The folder for what comes out; made when missing
    #[arg(short, long, value_name = "FOLDER", default_value = "compare")]
    output: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  darkroom compare
  darkroom compare --prompt \"pizza, noto style\" --samplers heun,unipc --steps 4,6,8,12 --seeds 8
  darkroom compare --samplers ddim,euler_a --sampler '{\"name\": \"ddim\", \"eta\": 0.5}' --schedule karras
  darkroom compare --model gaussian --reference heun --reference-steps 1000 -o exact";

impl Arguments {
    /// Makes all pictures, measures them, and writes what came out.
    pub async fn run(self, mut config: Config) -> anyhow::Result<()> {
        in_memory(&mut config, self.model.as_deref());
        telemetry::start(&config.log)?;
        let (contestants, reference) = (setup::contestants(&self)?, setup::reference(&self.reference)?);
        // The whole comparison waits in this queue, and after a failure nobody waits for what still runs.
        config.drain.timeout_s = 0;
        config.queue.max_depth = u32::MAX.into();
        let app = App::start(config).await?;
        let report = match Setup::new(&self, app.catalog.default(), contestants, reference) {
            Ok(setup) => self.report(&app, &setup).await,
            Err(misuse) => Err(misuse.into()),
        };
        app.drain().await;
        self.write(&report?)
    }

    async fn report(&self, app: &Arc<App>, setup: &Setup) -> anyhow::Result<Report> {
        let wishes = run::accepted(app, setup.wishes()).await?;
        fs::create_dir_all(&self.output).with_context(|| self.output.display().to_string())?;
        let jobs = run::run(app, wishes, &setup.lanes(), "evaluations").await?;
        let warnings: BTreeSet<_> =
            jobs.iter().flat_map(|job| &job.warnings).map(|it| (&it.pointer, &it.message)).collect();
        for (pointer, message) in warnings {
            eprintln!("darkroom: warning: {pointer}: {message}");
        }
        let made = made::collect(app, &setup.card, &jobs).await?;
        Report::new(setup, &jobs, made)
    }

    fn write(&self, report: &Report) -> anyhow::Result<()> {
        let table = table::markdown(report);
        let files = [
            ("plot.svg", plot::plot(report)),
            ("grid.svg", grid::grid(report)?),
            ("table.md", table.clone()),
            ("results.json", serde_json::to_string_pretty(report)? + "\n"),
        ];
        let mut said = table;
        for (name, text) in files {
            let path = self.output.join(name);
            fs::write(&path, text).with_context(|| path.display().to_string())?;
            said += &format!("\n{}", path.display());
        }
        super::print(&said)?;
        let failed = report.runs.iter().filter(|run| run.failure.is_some()).count();
        if failed > 0 {
            bail!("{failed} of {} runs failed; the table says which", report.runs.len());
        }
        Ok(())
    }
}
