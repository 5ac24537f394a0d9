use futures_util::future::{LocalBoxFuture, try_join_all};
use serde::{Deserialize, Serialize};
use tch::Tensor;
use utoipa::ToSchema;

use super::{Code, Cost, Invert, Method, Part, Target, Walker};
use crate::{
    denoiser::Estimate,
    error::{Failure, Fault, Result},
    process::Grid,
    sampler::{AnySolver, Run, combine},
};

/// The noise that a stochastic sampler would have had to draw to give the picture: the picture is noised to each level by
/// itself, and what each step lacks from one to the next is its noise. The sampler's way with the same noise under another
/// prompt is the edit, another one for each seed (Huberman-Spiegelglas et al. 2024, algorithm 1). `strength` leaves out the
/// noisiest steps. It takes any multistep sampler that draws noise.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct EditFriendly {
    /// Pixels over which the edge of a mask is spread, as a tent of that half width along both axes.
    #[schema(minimum = 0, maximum = 256)]
    pub feather: u32,
    /// Guidance towards `source_prompt` while the noise is found.
    #[schema(minimum = 0, maximum = 100)]
    pub source_guidance: f64,
    /// Cells of the latents, right and down, by which the noise is moved around, and the picture with it.
    #[schema(min_items = 2, max_items = 2)]
    pub shift: [i32; 2],
    /// A colour that the noise is moved towards at every level, and the picture with it; null: none.
    #[schema(inline)]
    pub tint: Option<Tint>,
}

/// A change of colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tint {
    /// Red, green, blue.
    #[schema(min_items = 3, max_items = 3)]
    pub colour: [u8; 3],
    /// How far, where 1 adds as much as lies between that colour and grey.
    #[schema(minimum = -2, maximum = 2)]
    pub share: f64,
}

impl Default for EditFriendly {
    fn default() -> Self {
        Self { feather: 0, source_guidance: 3.5, shift: [0, 0], tint: None }
    }
}

impl Method for EditFriendly {
    fn strength(&self) -> f64 {
        0.64
    }

    fn feather(&self) -> u32 {
        self.feather
    }

    fn sampler(&self) -> Option<serde_json::Value> {
        Some("ddpm".into())
    }

    fn carried_by(&self, walker: &Walker) -> Result<(), Fault> {
        walker.bare()?;
        match walker.solver.history().is_some() && walker.solver.stochastic() {
            true => Ok(()),
            false => {
                let message = "must be a multistep sampler that draws noise, such as `ddpm`, `ddim` with `eta`, `euler_a` or `dpmpp_2m_sde`";
                Err(Fault::new("", message))
            }
        }
    }

    fn invert(&self) -> Option<&dyn Invert> {
        Some(self)
    }
}

/// Levels that are asked about at once. A run relies on all of its futures being polled at each wake, which holds up to 30.
const AT_ONCE: usize = 30;

/// The picture at each level of a run's grid, noised by itself, and clean at the last.
fn path(run: &Run) -> Vec<Tensor> {
    let noised = run
        .grid
        .steps()
        .zip(0..)
        .map(|((level, _), k)| combine(&[(level.alpha, &run.x), (level.sigma, &run.noise.anew(k))]));
    noised.chain([run.x.shallow_clone()]).collect()
}

/// The estimates at all levels but the last, which do not depend on each other.
async fn estimates(run: &Run, path: &[Tensor]) -> Result<Vec<Estimate>> {
    let asked: Vec<_> = run.grid.steps().zip(path).collect();
    let mut estimates = Vec::new();
    for some in asked.chunks(AT_ONCE) {
        estimates.extend(try_join_all(some.iter().map(|((level, _), x)| run.denoiser.denoise(x, level))).await?);
    }
    Ok(estimates)
}

impl Invert for EditFriendly {
    fn source_guidance(&self) -> Option<f64> {
        Some(self.source_guidance)
    }

    fn later(&self) -> &'static [&'static str] {
        &["feather", "shift", "tint"]
    }

    fn draws(&self) -> bool {
        true
    }

    fn parts(&self, steps: usize) -> Vec<(&'static str, Part)> {
        vec![("start", Part::State), ("noise", Part::States(steps))]
    }

    fn cost(&self, grid: &Grid, _solver: &dyn AnySolver) -> Cost {
        Cost::of(grid.len(), grid.len())
    }

    fn find<'a>(&'a self, run: Run, solver: &'a dyn AnySolver) -> LocalBoxFuture<'a, Result<Code>> {
        Box::pin(async move {
            let path = path(&run);
            let terms = solver.lacking(&run, &path, estimates(&run, &path).await?);
            let terms = terms.ok_or_else(|| Failure::Internal("the sampler does not take its steps apart".into()))?;
            Ok(Code::of("start", path[0].shallow_clone()).with("noise", Tensor::stack(&terms, 1)))
        })
    }

    fn edit<'a>(&'a self, code: &'a Code, target: Target<'a>) -> LocalBoxFuture<'a, Result<Tensor>> {
        Box::pin(async move {
            let Target { mut run, solver, factor, .. } = target;
            let mut start = code.get("start").shallow_clone();
            let mut terms: Vec<_> = (0..run.grid.len()).map(|k| code.state("noise", k)).collect();
            if let Some(tint) = self.tint {
                let drift = drift(&run, tint, factor).await?;
                start = combine(&[(1.0, &start), (run.grid.first().alpha, &drift)]);
                let gains = run.grid.steps().map(|(from, to)| to.alpha - from.alpha);
                terms = terms.iter().zip(gains).map(|(term, gain)| combine(&[(1.0, term), (gain, &drift)])).collect();
            }
            run.x = self.moved(&start);
            run.noise.give(terms.iter().map(|term| self.moved(term)).collect());
            solver.sample(run).await
        })
    }
}

impl EditFriendly {
    fn moved(&self, x: &Tensor) -> Tensor {
        let [right, down] = self.shift.map(i64::from);
        if self.shift == [0, 0] { x.shallow_clone() } else { x.roll([down, right], [-2, -1]) }
    }
}

/// What a tint adds to clean states, `[n, C, h, w]`: the mean latents of its colour less those of grey.
async fn drift(run: &Run, Tint { colour, share }: Tint, factor: i64) -> Result<Tensor> {
    let size = run.x.size();
    let flat = |colour: [u8; 3]| {
        let values = colour.map(|byte| f32::from(byte) / 127.5 - 1.0);
        Tensor::from_slice(&values).view([1, 3, 1, 1]).expand([1, 3, size[2] * factor, size[3] * factor], false)
    };
    let pixels = Tensor::cat(&[flat(colour), flat([128; 3])], 0).to_device(run.x.device());
    let latents = run.denoiser.encode(pixels).await?.mean_dim([2i64, 3].as_slice(), true, None);
    let drift = (latents.narrow(0, 0, 1) - latents.narrow(0, 1, 1)) * share;
    Ok((drift / run.denoiser.network.coordinates.scale()).expand(&size, false).to_kind(run.x.kind()))
}
