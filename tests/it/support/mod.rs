//! What several topics share.

pub mod exact;
pub mod jobs;
pub mod server;
