//! The integration tests: one binary, so that LibTorch is linked once.

mod crash;
mod house;
mod process;
mod registry;
mod support;
