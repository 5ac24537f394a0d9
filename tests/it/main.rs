//! The integration tests: one binary, so that LibTorch is linked once.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "a test that panics has failed, values are built to be given away, and a table of cases is long"
)]

mod a1111_names;
mod a1111_pictures;
mod a1111_requests;
mod access;
mod api_catalog;
mod api_edit_inputs;
mod api_edits;
mod api_errors;
mod api_events;
mod api_examples;
mod api_features;
mod api_feed;
mod api_images;
mod api_inversions;
mod api_jobs;
mod api_prompts;
mod api_requests;
mod api_restoring;
mod api_schedules;
mod attention_control;
mod attention_network;
mod attention_unified;
mod attention_words;
mod audit;
mod batching;
mod blobs;
mod case_prompts;
mod case_samplers;
mod cli;
mod clients;
mod company;
mod compare;
mod coordinates;
mod cors;
mod crash;
mod dialects_access;
mod edits;
mod edits_company;
mod edits_trained;
mod embedded;
mod events;
mod fair;
mod folders;
mod fuzz;
mod gradients;
mod house;
mod idempotency;
mod identities;
mod inpainting_networks;
mod inversions;
mod inversions_drawn;
mod marginals;
mod memory;
mod null_text;
mod openai;
mod openai_brackets;
mod openai_edits;
mod openai_rust;
mod openai_streams;
mod options;
mod parity_networks;
mod parity_pictures;
mod parity_prompts;
mod parity_samplers;
mod pixels;
mod pixels_decode;
mod pressure;
mod processes;
mod processes_mean_reverting;
mod processes_resfusion;
mod processes_residual;
mod program;
mod prompts;
mod registry;
mod schedules;
mod security;
mod solvers;
mod stitch;
mod store;
mod support;
mod taps;
mod tls;
mod tokenizer;
mod tokens;
mod webhooks;
mod weights;
mod wrappers;
