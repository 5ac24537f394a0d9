//! The integration tests: one binary, so that LibTorch is linked once.

mod events;
mod house;
mod pixels;
mod registry;
mod store;
mod support;
