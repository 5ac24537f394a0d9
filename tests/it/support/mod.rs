//! What several topics share.

pub mod a1111;
pub mod app;
pub mod exact;
pub mod jobs;
pub mod mutations;
pub mod networks;
pub mod openai;
pub mod pictures;
pub mod restoring;
pub mod samples;
pub mod server;
