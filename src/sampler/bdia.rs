use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Run, Solver, combine};
use crate::{error::Result, process::Grid};

/// BDIA: a DDIM step forwards, and a share of the last step taken back with this step's noise, which makes the walk exactly
/// reversible (Zhang et al. 2024, arXiv 2307.10829, eq. 15).
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Bdia {
    /// The share: 0 is DDIM, 1 of second order, between them a smaller error of first order. A half serves 10 steps, 1
    /// serves 40.
    #[schema(minimum = 0, maximum = 1)]
    pub gamma: f64,
}

impl Default for Bdia {
    fn default() -> Self {
        Self { gamma: 1.0 }
    }
}

impl Solver for Bdia {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        Some(grid.len())
    }

    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(bdia(self.gamma, run))
    }
}

/// `x_(i-1) = gamma (x_(i+1) - F(i -> i+1)) + F(i -> i-1)`, `F(i -> j) = alpha_j x0_i + sigma_j eps_i`.
async fn bdia(gamma: f64, run: Run) -> Result<Tensor> {
    let levels = run.grid.levels();
    let mut x = run.x.shallow_clone();
    let mut before: Option<Tensor> = None;
    for (index, (from, to)) in run.grid.steps().enumerate() {
        let now = run.denoiser.denoise(&x, &from).await?;
        let forwards = [(to.alpha, &now.x0), (to.sigma, &now.eps)];
        // Into a clean picture the estimate alone counts: what is taken back would stay in it as noise.
        let next = match &before {
            Some(before) if to.sigma > 0.0 => {
                let back = levels[index - 1];
                let [x0, eps] = forwards;
                let (x0, eps) = ((x0.0 - gamma * back.alpha, x0.1), (eps.0 - gamma * back.sigma, eps.1));
                combine(&[(gamma, before), x0, eps])
            }
            _ => combine(&forwards),
        };
        before = Some(std::mem::replace(&mut x, next));
    }
    Ok(x)
}
