//! The integration tests: one binary, so that LibTorch is linked once.

mod house;
mod registry;
