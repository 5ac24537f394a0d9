//! Samplers: how estimates of the clean picture become a path from noise to picture. One file each.
//!
//! A sampler sees [`Estimate`]s and [`Level`]s, never a prediction
//! type, a timestep table or a guidance rule.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use tch::Tensor;

use crate::{
    denoiser::{Denoiser, Estimate},
    error::{Fault, Result},
    noise::Noise,
    process::{Grid, Level, Process},
    registry::Options,
};

mod adams;
mod ancestral;
mod bdia;
mod combine;
mod controller;
mod ddim;
mod ddpm;
mod deis;
mod dpm2;
mod dpm2_a;
mod dpm_adaptive;
mod dpm_fast;
mod dpm_solver;
mod dpmpp_2m;
mod dpmpp_2m_sde;
mod dpmpp_2s;
mod dpmpp_2s_a;
mod dpmpp_3m;
mod dpmpp_3m_sde;
mod dpmpp_3s;
mod dpmpp_sde;
mod edict;
mod edm;
mod euler;
mod euler_a;
mod exponential;
mod ghvb;
mod heun;
pub mod hook;
mod lcm;
mod lms;
mod march;
mod plan;
mod plms;
mod pndm;
mod polynomial;
mod registry;
mod restart;
mod rk;
mod singlestep;
mod span;
mod tableau;
mod tcd;
mod unipc;
mod usf;

pub use combine::{along, combine};
pub use exponential::{Difference, Form, through};
pub use hook::Hooks;
pub use march::march;
pub use registry::{Order, SAMPLERS, Sampler};
pub use span::{Rule, Span, Weights};
pub use tableau::TABLEAUX;

/// Everything a sampler works with. The run holds n rows, x: `[n, C, h, w]`; one tensor operation serves all of them.
pub struct Run {
    /// The network behind its prediction type and guidance.
    pub denoiser: Denoiser,
    /// Fresh noise by step.
    pub noise: Noise,
    /// What the levels were taken from.
    pub process: Arc<dyn Process>,
    /// Noisy to clean.
    pub grid: Grid,
    /// The start, `[n, C, h, w]`, at the level of `grid.first()`.
    pub x: Tensor,
    /// Estimates from before the start, newest first, where somebody knows them.
    pub warm: Vec<(Level, Estimate)>,
    /// What holds on to the steps.
    pub hooks: Hooks,
}

/// Where a wrapper takes hold of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The start of the path.
    Start,
    /// The network.
    Network,
    /// The steps of [`march()`].
    Step,
}

/// What multistep solvers carry.
pub const EVERYWHERE: &[Place] = &[Place::Start, Place::Network, Place::Step];
/// What solvers with loops of their own carry.
pub const ENDS: &[Place] = &[Place::Start, Place::Network];
/// What solvers carry whose steps are given one by one.
pub const NETWORK: &[Place] = &[Place::Network, Place::Step];

/// A solver's options are the solver: one struct, whose doc comments and ranges are the API's.
pub trait Solver: Options + Clone + Send + Sync {
    /// Network evaluations per picture over a grid; `None` where the data decide.
    fn evaluations(&self, grid: &Grid) -> Option<usize>;

    /// The most evaluations per picture over a grid.
    fn most(&self, grid: &Grid) -> usize {
        self.evaluations(grid).unwrap_or(grid.len())
    }

    /// Whether it draws noise after the start.
    fn stochastic(&self) -> bool {
        false
    }

    /// Whether it needs a network that says a variance.
    fn reads_variance(&self) -> bool {
        false
    }

    /// Whether each picture needs a run of its own, because the way depends on the values.
    fn alone(&self) -> bool {
        false
    }

    /// Where wrappers may take hold.
    fn carries(&self) -> &'static [Place] {
        ENDS
    }

    /// The number of its steps, where it is given.
    fn steps(&self) -> Option<usize> {
        None
    }

    /// The network's times of its steps, noisy to clean, where it brings its own.
    fn times(&self) -> Option<Vec<f64>> {
        None
    }

    /// What ranges cannot say about its options.
    ///
    /// # Errors
    /// The option at fault.
    fn check(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// Itself, where it can be walked backwards exactly.
    fn reversible(&self) -> Option<&dyn Reversible> {
        None
    }

    /// Runs it: the state `[n, C, h, w]` at the grid's last level.
    fn sample(self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>>;
}

/// A solver whose walk over two coupled states can be undone but for rounding.
pub trait Reversible {
    /// The state at the end of the run's grid, from two at its start; the last step is one like all others.
    fn forwards<'a>(&'a self, run: &'a Run, pair: [Tensor; 2]) -> LocalBoxFuture<'a, Result<Tensor>>;

    /// The two states at the start of the run's grid that [`Reversible::forwards`] leads to `x` at its end.
    fn backwards<'a>(&'a self, run: &'a Run, x: &'a Tensor) -> LocalBoxFuture<'a, Result<[Tensor; 2]>>;

    /// Evaluations forwards and backwards.
    fn evaluations(&self, steps: usize) -> [usize; 2];

    /// How much so many steps backwards magnify rounding.
    fn growth(&self, steps: usize) -> f64;
}

/// A [`Solver`] with its type forgotten.
pub trait AnySolver: Send + Sync {
    /// See [`Solver::evaluations`].
    fn evaluations(&self, grid: &Grid) -> Option<usize>;
    /// See [`Solver::most`].
    fn most(&self, grid: &Grid) -> usize;
    /// See [`Solver::stochastic`].
    fn stochastic(&self) -> bool;
    /// See [`Solver::reads_variance`].
    fn reads_variance(&self) -> bool;
    /// See [`Solver::alone`].
    fn alone(&self) -> bool;
    /// See [`Solver::carries`].
    fn carries(&self) -> &'static [Place];
    /// See [`Solver::steps`].
    fn steps(&self) -> Option<usize>;
    /// See [`Solver::times`].
    fn times(&self) -> Option<Vec<f64>>;
    /// How many estimates it weighs at most, where it is a rule.
    fn history(&self) -> Option<usize>;
    /// What each of its steps lacks on a given path, of one state more than there are estimates: `path[k + 1]` less what the
    /// step makes of `path[k]`, without noise. `None` where it is no rule.
    fn lacking(&self, run: &Run, path: &[Tensor], estimates: Vec<Estimate>) -> Option<Vec<Tensor>>;
    /// See [`Solver::reversible`].
    fn reversible(&self) -> Option<&dyn Reversible>;
    /// Whether it can walk a part of the schedule: where its steps are not given one by one.
    fn divides(&self) -> bool {
        self.steps().is_none() && self.times().is_none()
    }
    /// See [`Solver::sample`].
    fn sample(&self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>>;
}

struct Single<S>(S);

impl<S: Solver> AnySolver for Single<S> {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        self.0.evaluations(grid)
    }

    fn most(&self, grid: &Grid) -> usize {
        self.0.most(grid)
    }

    fn stochastic(&self) -> bool {
        self.0.stochastic()
    }

    fn reads_variance(&self) -> bool {
        self.0.reads_variance()
    }

    fn alone(&self) -> bool {
        self.0.alone()
    }

    fn carries(&self) -> &'static [Place] {
        self.0.carries()
    }

    fn steps(&self) -> Option<usize> {
        self.0.steps()
    }

    fn times(&self) -> Option<Vec<f64>> {
        self.0.times()
    }

    fn history(&self) -> Option<usize> {
        None
    }

    fn lacking(&self, _run: &Run, _path: &[Tensor], _estimates: Vec<Estimate>) -> Option<Vec<Tensor>> {
        None
    }

    fn reversible(&self) -> Option<&dyn Reversible> {
        self.0.reversible()
    }

    fn sample(&self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        self.0.clone().sample(run)
    }
}

struct Marching<R>(R);

impl<R: Rule + Send + Sync + 'static> AnySolver for Marching<R> {
    fn evaluations(&self, grid: &Grid) -> Option<usize> {
        Some(grid.len())
    }

    fn most(&self, grid: &Grid) -> usize {
        grid.len()
    }

    fn stochastic(&self) -> bool {
        self.0.stochastic()
    }

    fn reads_variance(&self) -> bool {
        self.0.reads_variance()
    }

    fn alone(&self) -> bool {
        false
    }

    fn carries(&self) -> &'static [Place] {
        EVERYWHERE
    }

    fn steps(&self) -> Option<usize> {
        None
    }

    fn times(&self) -> Option<Vec<f64>> {
        None
    }

    fn history(&self) -> Option<usize> {
        Some(self.0.history())
    }

    fn lacking(&self, run: &Run, path: &[Tensor], estimates: Vec<Estimate>) -> Option<Vec<Tensor>> {
        Some(march::lacking(&self.0, run, path, estimates))
    }

    fn reversible(&self) -> Option<&dyn Reversible> {
        None
    }

    fn sample(&self, run: Run) -> LocalBoxFuture<'static, Result<Tensor>> {
        Box::pin(march(self.0.clone(), run))
    }
}
