//! Networks, and nothing else: tensors in, tensors out. Each is built from its configuration file and a
//! [`Part`](crate::model::format::weights::Part) of the weights, whose names it follows.

pub mod attention;
pub mod blocks;
pub mod clip;
pub mod embedding;
pub mod layer;
pub mod resnet;
pub mod taps;
pub mod transformer;
pub mod unet;
pub mod unet_config;
pub mod vae;
