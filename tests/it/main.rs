//! The integration tests: one binary, so that LibTorch is linked once.

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
