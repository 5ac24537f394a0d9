//! darkroom: an HTTP image-generation service that batches single network evaluations of unlike requests.

pub mod access;
pub mod app;
pub mod ask;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod denoiser;
pub mod edit;
pub mod engine;
pub mod error;
pub mod failpoint;
pub mod guidance;
pub mod http;
pub mod job;
pub mod limits;
pub mod meters;
pub mod metrics;
pub mod model;
pub mod noise;
pub mod pixels;
pub mod process;
pub mod prompt;
pub mod registry;
pub mod sampler;
pub mod schedule;
pub mod store;
pub mod task;
pub mod telemetry;
pub mod webhooks;
pub mod wrapper;

/// LibTorch takes and gives back large tensors at every operator; its C++ side shares this allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
