//! Pictures as bytes: decoding what users send, encoding with the request inside, changing the format and the size, masks,
//! previews, and latents as files.

mod alpha;
mod container;
pub mod decode;
pub mod encode;
pub mod exif;
pub mod fit;
pub mod latents;
pub mod mask;
pub mod metadata;
pub mod preview;
mod said;
mod surroundings;
pub mod tensors;

pub use alpha::transparent;
pub use decode::{Decoded, decode};
pub use encode::{encode, thumbnail, transcode};
pub use mask::Given;
pub use metadata::PictureText;
pub use preview::preview;
pub use said::said;
pub use surroundings::surrounded;
