//! The integration tests: one binary, so that LibTorch is linked once.

mod events;
mod pixels;
mod store;
mod support;
