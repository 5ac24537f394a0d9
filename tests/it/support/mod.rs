//! What several topics share.

pub mod exact;
