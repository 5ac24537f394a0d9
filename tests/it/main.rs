//! The integration tests: one binary, so that LibTorch is linked once.

mod api_catalog;
mod api_errors;
mod api_events;
mod api_images;
mod api_jobs;
mod api_requests;
mod batching;
mod cli;
mod crash;
mod events;
mod house;
mod parity_networks;
mod pixels;
mod pressure;
mod processes;
mod program;
mod registry;
mod solvers;
mod store;
mod support;
mod tokenizer;
