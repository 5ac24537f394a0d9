//! Pictures as bytes: encoding with the request inside, changing the format, previews, and latents as files.

pub mod encode;
pub mod latents;
pub mod metadata;
pub mod preview;

pub use encode::{encode, transcode};
pub use metadata::PictureText;
pub use preview::preview;
