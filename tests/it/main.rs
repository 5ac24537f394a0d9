//! The integration tests: one binary, so that LibTorch is linked once.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "a test that panics has failed, and tests build values to give them away"
)]

mod batching;
mod crash;
mod house;
mod parity_networks;
mod processes;
mod program;
mod registry;
mod solvers;
mod support;
mod tokenizer;
