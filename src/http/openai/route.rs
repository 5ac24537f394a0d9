//! The three routes, and the fields that each of them knows.

/// Of a generation.
const GENERATION: [&str; 15] = [
    "prompt",
    "model",
    "n",
    "size",
    "quality",
    "style",
    "background",
    "moderation",
    "output_format",
    "output_compression",
    "response_format",
    "stream",
    "partial_images",
    "user",
    "safety_identifier",
];

/// Of an edit.
const EDIT: [&str; 18] = [
    "image",
    "images",
    "mask",
    "prompt",
    "model",
    "n",
    "size",
    "quality",
    "background",
    "input_fidelity",
    "moderation",
    "output_format",
    "output_compression",
    "response_format",
    "stream",
    "partial_images",
    "user",
    "safety_identifier",
];

/// Of a variation.
const VARIATION: [&str; 9] =
    ["image", "model", "n", "size", "quality", "output_format", "output_compression", "response_format", "user"];

/// One of the three routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/v1/images/generations`
    Generation,
    /// `/v1/images/edits`
    Edit,
    /// `/v1/images/variations`
    Variation,
}

impl Route {
    /// The names of the fields that it knows.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Generation => &GENERATION,
            Self::Edit => &EDIT,
            Self::Variation => &VARIATION,
        }
    }
}
