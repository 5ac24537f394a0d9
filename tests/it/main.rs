//! The integration tests: one binary, so that LibTorch is linked once.

mod batching;
mod events;
mod house;
mod pixels;
mod processes;
mod registry;
mod service;
mod solvers;
mod store;
mod support;
