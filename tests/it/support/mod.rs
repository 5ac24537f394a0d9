//! What several topics need.

pub mod jobs;
