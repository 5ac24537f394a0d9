//! What several topics share.

pub mod exact;
pub mod server;
