//! Tasks: a whole job as one async function, from the valid request to pixels.

mod generate;
mod lane;
mod plan;
mod prompted;

pub use generate::generate;
pub use plan::{Cards, Plan, Told};

/// One finished result of a run, on the processor.
#[derive(Debug)]
pub struct Product {
    /// Which picture of the job.
    pub index: u32,
    /// What it is.
    pub made: Made,
}

/// The bytes of a result.
#[derive(Debug)]
pub enum Made {
    /// RGB, eight bits, row by row.
    Picture(Vec<u8>),
    /// Latents `[C, h, w]` as the sampler ended them.
    Latents(Vec<f32>),
}
