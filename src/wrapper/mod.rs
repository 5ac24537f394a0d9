//! Wrappers: changes of a run that go with any sampler that carries them. One file each.
//!
//! They take hold of the start of the path, of the network, or of the steps of [`march`](fn@crate::sampler::march).

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use serde_json::Value;

use crate::{
    denoiser::Network,
    error::{Fault, Result},
    process::{Grid, Process},
    registry::{Entry, Options, read_options},
    sampler::{Place, Run},
};

mod dualfast;
mod epsilon_scale;
mod momentum;
mod stack;
mod stitch;
mod teleport;
mod time_shift;

pub use stack::{MOST_WRAPPERS, Stack, canonical, carried};

/// A second network that a wrapper asked for.
pub struct Partner {
    /// It, with its own conditions.
    pub network: Network,
    /// Its model's process.
    pub process: Arc<dyn Process>,
}

/// A wrapper's options are the wrapper.
pub trait Wrapper: Send + Sync {
    /// The levels that the solver walks, of those of the schedule.
    fn grid(&self, grid: Grid) -> Grid {
        grid
    }

    /// Evaluations per picture of its own, before the schedule's grid is walked.
    fn evaluations(&self, grid: &Grid) -> usize {
        let _ = grid;
        0
    }

    /// Whether each picture needs a run of its own, because the way depends on the values.
    fn alone(&self) -> bool {
        false
    }

    /// Whether it can serve a model of that process.
    ///
    /// # Errors
    /// Why not.
    fn fits(&self, process: &dyn Process) -> Result<(), Fault> {
        let _ = process;
        Ok(())
    }

    /// The id of the second model that it needs.
    fn partner(&self) -> Option<&str> {
        None
    }

    /// Takes hold of a run that is about to start; `partner` is there if it asked for one.
    fn apply<'a>(&'a self, run: &'a mut Run, partner: Option<Partner>) -> LocalBoxFuture<'a, Result<()>>;
}

/// One line of [`WRAPPERS`].
pub struct Kind {
    /// Name, paper and options.
    pub entry: Entry<dyn Wrapper>,
    /// Where it takes hold.
    pub place: Place,
}

/// Every wrapper, in the order in which lists show them.
#[rustfmt::skip]
pub const WRAPPERS: &[Kind] = &[
    Kind::of::<teleport::Teleport>("teleport", "Gaussian teleport", "Wang and Vastola 2024, arXiv 2412.09726", Place::Start),
    Kind::of::<stitch::Stitch>("stitch", "T-Stitch", "Pan et al. 2025, arXiv 2402.14167", Place::Network),
    Kind::of::<epsilon_scale::EpsilonScale>("epsilon_scale", "Epsilon scaling", "Ning et al. 2024, arXiv 2308.15321", Place::Network),
    Kind::of::<momentum::Momentum>("momentum", "Momentum", "Wizadwongsa et al. 2023, arXiv 2307.11118", Place::Step),
    Kind::of::<dualfast::DualFast>("dualfast", "DualFast", "Yu et al. 2025, arXiv 2506.13058", Place::Step),
    Kind::of::<time_shift::TimeShift>("time_shift", "Time shift", "Li et al. 2024, arXiv 2305.15583", Place::Step),
];

impl Kind {
    const fn of<W: Wrapper + Options>(
        name: &'static str,
        title: &'static str,
        paper: &'static str,
        place: Place,
    ) -> Self {
        Self { entry: Entry::new::<W>(name, title, paper, read::<W>), place }
    }
}

fn read<W: Wrapper + Options>(options: Value) -> Result<Box<dyn Wrapper>, Fault> {
    Ok(Box::new(read_options::<W>(options)?))
}
