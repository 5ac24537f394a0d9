//! Tasks: a whole job as one async function, from the valid request to pixels.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use tch::{Device, Tensor};

use crate::{ask::Net, error::Result, pixels::Given};

mod edit;
mod finished;
mod generate;
mod invert;
mod lane;
mod plan;
mod prompted;
mod run;

pub use edit::{Editing, edit};
pub use generate::generate;
pub use plan::{Cards, Plan, Told};

/// The task of a plan: an edit where it has a picture, else a generation.
pub fn work(plan: Plan, net: Net, device: Device) -> LocalBoxFuture<'static, Result<Vec<Product>>> {
    match plan.editing {
        Some(_) => Box::pin(edit(plan, net, device)),
        None => Box::pin(generate(plan, net, device)),
    }
}

/// One finished result of a run, on the processor.
#[derive(Debug)]
pub struct Product {
    /// Which picture of the job.
    pub index: u32,
    /// What it is.
    pub made: Made,
    /// The given picture, where a mask keeps parts of it, which are still to be put back, or where a code goes with it.
    pub over: Option<Arc<Given>>,
}

/// The bytes of a result.
#[derive(Debug)]
pub enum Made {
    /// RGB, eight bits, row by row.
    Picture(Vec<u8>),
    /// Latents `[C, h, w]` as the sampler ended them.
    Latents(Vec<f32>),
    /// The tensors of a code, by name.
    Code(Vec<(String, Tensor)>),
}
