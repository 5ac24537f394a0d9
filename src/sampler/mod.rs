//! Samplers: how estimates of the clean picture become a path from noise to picture. One file each.
//!
//! A sampler sees [`Estimate`](crate::denoiser::Estimate)s and [`Level`](crate::process::Level)s, never a prediction
//! type, a timestep table or a guidance rule.

use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use tch::Tensor;

use crate::{
    denoiser::Denoiser,
    error::{Fault, Result},
    noise::Noise,
    process::Grid,
    registry::{Entry, Options, read_options},
    schedule::{End, Ends, Start, Time},
};

mod combine;
mod ddim;
mod ddpm;
mod dpmpp_2m;
mod euler;
mod euler_a;
mod exponential;
mod heun;
mod march;
mod unipc;

pub use combine::combine;
pub use exponential::{Form, through};
pub use march::{Rule, Span, Weights, march};

/// Everything a sampler works with. The run holds n rows, x: `[n, C, h, w]`; one tensor operation serves all of them.
pub struct Run {
    /// The network behind its prediction type and guidance.
    pub denoiser: Denoiser,
    /// Fresh noise by step.
    pub noise: Noise,
    /// Noisy to clean.
    pub grid: Grid,
    /// The start, `[n, C, h, w]`, at the level of `grid.first()`.
    pub x: Tensor,
}

/// A solver's options are the solver: one struct, whose doc comments and ranges are the API's.
pub trait Solver: Options + Send + Sync {
    /// Network evaluations per picture over a grid.
    fn evaluations(&self, grid: &Grid) -> usize;

    /// Whether it draws noise after the start.
    fn stochastic(&self) -> bool {
        false
    }

    /// Runs it: the state `[n, C, h, w]` at the grid's last level.
    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>>;
}

/// A [`Solver`] with its type forgotten.
pub trait AnySolver: Send + Sync {
    /// See [`Solver::evaluations`].
    fn evaluations(&self, grid: &Grid) -> usize;
    /// See [`Solver::stochastic`].
    fn stochastic(&self) -> bool;
    /// See [`Solver::sample`].
    fn sample(self: Box<Self>, run: Run) -> LocalBoxFuture<'static, Result<Tensor>>;
}

struct Single<S>(S);

impl<S: Solver> AnySolver for Single<S> {
    fn evaluations(&self, grid: &Grid) -> usize {
        self.0.evaluations(grid)
    }

    fn stochastic(&self) -> bool {
        self.0.stochastic()
    }

    fn sample(self: Box<Self>, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        self.0.sample(run)
    }
}

struct Marching<R>(R);

impl<R: Rule + Send + Sync + 'static> AnySolver for Marching<R> {
    fn evaluations(&self, grid: &Grid) -> usize {
        grid.len()
    }

    fn stochastic(&self) -> bool {
        self.0.stochastic()
    }

    fn sample(self: Box<Self>, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(march(self.0, run))
    }
}

/// One line of [`SAMPLERS`].
pub struct Sampler {
    /// Name, paper and options.
    pub entry: Entry<dyn AnySolver>,
    /// Global order of convergence; `None` where order does not apply (stochastic, adaptive).
    pub order: Option<Order>,
    /// Evaluations as a function of the steps, for people: `N`, `2 N - 1`.
    pub evaluations: &'static str,
    /// How a path starts and ends unless the schedule says otherwise.
    pub ends: Ends,
}

/// How fast a sampler's error falls with the steps N: as `N^-order`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// As published: full order from the first step to the last.
    pub formal: u32,
    /// With a start from noise alone and the order lowered at the end, as requests run it.
    pub in_practice: u32,
}

/// Two steps of first order, one at each end, leave an error of second order whatever the rule is between them.
const FIRST_ORDER_ENDS: u32 = 2;

/// Starts at unit variance, integer times, ends at zero.
const DISCRETE: Ends = Ends { start: Start::Unit, time: Time::Integer, end: End::Zero };
/// The k-diffusion habit: starts at `sigma_T z`, real times, ends at zero.
const CONTINUOUS: Ends = Ends { start: Start::Sigma, time: Time::Real, end: End::Zero };

/// Every sampler, in the order in which lists show them.
pub const SAMPLERS: &[Sampler] = &[
    Sampler::rule::<ddpm::Ddpm>("ddpm", "DDPM ancestral", "Ho et al. 2020, arXiv 2006.11239", None, DISCRETE),
    Sampler::rule::<ddim::Ddim>("ddim", "DDIM", "Song et al. 2021, arXiv 2010.02502", Some(1), DISCRETE),
    Sampler::rule::<euler::Euler>("euler", "Euler", "Karras et al. 2022, arXiv 2206.00364", Some(1), CONTINUOUS),
    Sampler::rule::<euler_a::EulerA>(
        "euler_a",
        "Euler ancestral",
        "Karras et al. 2022, arXiv 2206.00364; k-diffusion",
        None,
        CONTINUOUS,
    ),
    Sampler::of::<heun::Heun>("heun", "Heun", "Karras et al. 2022, arXiv 2206.00364", Some(2), "2 N - 1", CONTINUOUS),
    Sampler::rule::<dpmpp_2m::Dpmpp2m>(
        "dpmpp_2m",
        "DPM-Solver++ 2M",
        "Lu et al. 2022, arXiv 2211.01095",
        Some(2),
        DISCRETE,
    ),
    Sampler::rule::<unipc::UniPc>("unipc", "UniPC", "Zhao et al. 2023, arXiv 2302.04867", Some(3), DISCRETE),
];

impl Sampler {
    const fn of<S: Solver>(
        name: &'static str,
        title: &'static str,
        paper: &'static str,
        order: Option<u32>,
        evaluations: &'static str,
        ends: Ends,
    ) -> Self {
        let order = match order {
            Some(formal) => Some(Order { formal, in_practice: formal }),
            None => None,
        };
        Self { entry: Entry::new::<S>(name, title, paper, read_solver::<S>), order, evaluations, ends }
    }

    const fn rule<R: Rule + Options + Send + Sync>(
        name: &'static str,
        title: &'static str,
        paper: &'static str,
        order: Option<u32>,
        ends: Ends,
    ) -> Self {
        let order = match order {
            Some(formal) if formal > FIRST_ORDER_ENDS => Some(Order { formal, in_practice: FIRST_ORDER_ENDS }),
            Some(formal) => Some(Order { formal, in_practice: formal }),
            None => None,
        };
        Self { entry: Entry::new::<R>(name, title, paper, read_rule::<R>), order, evaluations: "N", ends }
    }
}

fn read_solver<S: Solver>(options: Value) -> Result<Box<dyn AnySolver>, Fault> {
    Ok(Box::new(Single(read_options::<S>(options)?)))
}

fn read_rule<R: Rule + Options + Send + Sync>(options: Value) -> Result<Box<dyn AnySolver>, Fault> {
    Ok(Box::new(Marching(read_options::<R>(options)?)))
}
