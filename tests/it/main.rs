//! The integration tests: one binary, so that LibTorch is linked once.

mod batching;
mod house;
mod processes;
mod registry;
mod solvers;
mod support;
