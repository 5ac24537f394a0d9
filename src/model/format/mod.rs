//! Files: safetensors, the diffusers folder layout, tokenizers, and configuration files whose every option counts.

pub mod folder;
pub mod options;
pub mod safetensors;
pub mod scheduler;
pub mod tokenizer;
pub mod weights;
