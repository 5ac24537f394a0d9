use tch::Tensor;

use super::{Plan, prompted::Prompted};
use crate::{
    ask::{Net, Rows},
    denoiser::Denoiser,
    noise::Noise,
    process::Grid,
    sampler::Run,
};

/// Where a run starts.
pub struct Start<'a> {
    /// The states `[n, C, h, w]`.
    pub x: Tensor,
    /// Noise of the same rows.
    pub noise: Noise,
    /// The levels that are walked.
    pub grid: &'a Grid,
    /// Which pictures these are.
    pub rows: Rows,
}

/// A run of the plan under prompts, with nothing around it yet.
pub fn run(plan: &Plan, net: &Net, prompted: &Prompted, Start { x, noise, grid, rows }: Start) -> Run {
    let n = x.size()[0];
    let denoiser = Denoiser {
        net: net.clone(),
        network: prompted.network(n),
        stitches: Vec::new(),
        guidance: plan.guidance.clone(),
        corrections: Vec::new(),
        threshold: None,
        anchor: None,
        grid: plan.grid.clone(),
        tap: None,
        lanes: 1,
        pictures: usize::try_from(n).expect("a size is not negative"),
        rows,
    };
    let process = plan.card.process.clone();
    Run { denoiser, noise, process, grid: grid.clone(), x, warm: Vec::new(), hooks: Vec::new() }
}
