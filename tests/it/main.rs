//! The integration tests: one binary, so that LibTorch is linked once.

mod api_catalog;
mod api_errors;
mod api_events;
mod api_images;
mod api_jobs;
mod api_requests;
mod cli;
mod batching;
mod events;
mod house;
mod pixels;
mod processes;
mod registry;
mod solvers;
mod store;
mod support;
