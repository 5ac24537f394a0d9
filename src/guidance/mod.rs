//! Guidance: which conditions the network is asked under, and how its answers become one. One file each.

use std::sync::Arc;

use serde_json::Value;
use tch::Tensor;

use crate::{
    error::{Fault, Result},
    registry::{Entry, Options, find, read_options},
};

mod cfg;
mod none;

/// A condition that a row is asked under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branch {
    /// The prompt or label.
    Positive,
    /// The negative prompt, or no label.
    Negative,
}

/// A way to steer the network towards a condition.
pub trait Guidance: Send + Sync {
    /// The conditions to ask under when `share` of the steps lie behind, 0..1. Never empty; each is a row per picture.
    fn branches(&self, share: f64) -> &'static [Branch];

    /// One output `[n, ..]` from those of the branches, in their order.
    ///
    /// Weights sum to 1, so the mix is the same whatever the network predicts.
    fn mix(&self, outputs: &[Tensor]) -> Tensor;
}

/// One line of [`GUIDANCES`].
pub struct Kind {
    /// Name, paper and options.
    pub entry: Entry<dyn Guidance>,
}

/// Every guidance, in the order in which lists show them.
pub const GUIDANCES: &[Kind] = &[
    Kind::of::<none::Unguided>("none", "None", "Ho and Salimans 2022, arXiv 2207.12598, w = 1"),
    Kind::of::<cfg::Cfg>("cfg", "Classifier-free guidance", "Ho and Salimans 2022, arXiv 2207.12598"),
];

impl Kind {
    const fn of<G: Guidance + Options>(name: &'static str, title: &'static str, paper: &'static str) -> Self {
        Self { entry: Entry::new::<G>(name, title, paper, read::<G>) }
    }
}

/// Classifier-free guidance of that scale.
///
/// # Errors
/// A scale out of its range.
pub fn scaled(scale: f64) -> Result<Arc<dyn Guidance>, Fault> {
    let (kind, options) = find(&canonical(&scale.into())?, GUIDANCES, |kind: &Kind| &kind.entry)?;
    Ok(kind.entry.read(options)?.into())
}

/// The condition as it is, in one row for each picture.
pub fn none() -> Arc<dyn Guidance> {
    Arc::new(none::Unguided {})
}

/// What a guidance makes of an output for the negative condition and one for the positive, where `share` of the steps lie
/// behind.
pub fn mixed(guidance: &dyn Guidance, share: f64, [negative, positive]: [&Tensor; 2]) -> Tensor {
    let outputs = guidance.branches(share).iter().map(|branch| match branch {
        Branch::Negative => negative.shallow_clone(),
        Branch::Positive => positive.shallow_clone(),
    });
    guidance.mix(&outputs.collect::<Vec<_>>())
}

fn read<G: Guidance + Options>(options: Value) -> Result<Box<dyn Guidance>, Fault> {
    Ok(Box::new(read_options::<G>(options)?))
}

/// A number (the scale of `cfg`), a name, or `{"name": .., options}`, with every option filled in.
///
/// # Errors
/// As [`find`] and [`Entry::read`]; a bad number is a fault of the value itself.
pub fn canonical(value: &Value) -> Result<Value, Fault> {
    let wrapped = value.is_number().then(|| serde_json::json!({"name": "cfg", "scale": value}));
    let (kind, options) = find(wrapped.as_ref().unwrap_or(value), GUIDANCES, |kind: &Kind| &kind.entry)?;
    kind.entry.canonical(&options).map_err(|fault| match &wrapped {
        Some(_) => Fault::new("", fault.message),
        None => fault,
    })
}
