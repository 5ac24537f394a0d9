//! What several topics need.

pub mod app;
