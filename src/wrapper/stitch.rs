use futures_util::future::{LocalBoxFuture, ready};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Partner, Wrapper};
use crate::{
    denoiser,
    error::{Failure, Result},
    process::{Grid, share_of},
    sampler::Run,
};

/// A second, smaller model answers at the noisy end of the path, where models of the same data agree; the request's own takes
/// over (Pan et al. 2025, arXiv 2402.14167). Both need one autoencoder.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Stitch {
    /// Id of the second model.
    pub model: String,
    /// Its share of the steps, rounded down.
    #[schema(minimum = 0, maximum = 1)]
    pub fraction: f64,
    /// Instead of a share: it answers while sigma / alpha is above this.
    #[schema(minimum = 0, maximum = 1e6)]
    pub until: Option<f64>,
}

impl Default for Stitch {
    fn default() -> Self {
        Self { model: String::new(), fraction: 0.4, until: None }
    }
}

impl Stitch {
    /// The sigma / alpha above which the second model answers.
    fn switch(&self, grid: &Grid) -> f64 {
        let of_share = || {
            let steps = share_of(grid.len(), self.fraction);
            match steps {
                0 => f64::INFINITY,
                // Between the last level that is the second model's and the next, in the middle of their logarithms.
                steps if steps < grid.len() => {
                    let [from, to] = [steps - 1, steps].map(|at| grid.levels()[at].ratio());
                    if from.is_finite() { (from * to).sqrt() } else { to }
                }
                _ => 0.0,
            }
        };
        self.until.unwrap_or_else(of_share)
    }
}

impl Wrapper for Stitch {
    fn partner(&self) -> Option<&str> {
        Some(&self.model)
    }

    fn apply<'a>(&'a self, run: &'a mut Run, partner: Option<Partner>) -> LocalBoxFuture<'a, Result<()>> {
        let Some(Partner { network, process }) = partner else {
            return Box::pin(ready(Err(Failure::Internal("the second model is not there".into()))));
        };
        let above = self.switch(&run.grid);
        run.denoiser.stitches.push(denoiser::Stitch { network, above, process });
        Box::pin(ready(Ok(())))
    }
}
