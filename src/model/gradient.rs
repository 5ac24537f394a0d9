//! Gradients: a forward and the way back through it. Torch keeps a graph here and nowhere else.

use tch::{Kind, Tensor};

use super::batch::{Batch, Losses};
use crate::{
    ask::{Answer, Wrt},
    error::{Failure, Result},
};

/// The answer of `forward` to the batch, with the gradient of the losses in what they are taken in.
///
/// # Errors
/// Those of `forward`; nothing there that a gradient can be taken in.
pub fn through(batch: &Batch, losses: &Losses, forward: impl FnOnce(&Batch) -> Result<Answer>) -> Result<Answer> {
    let leaf = leaf(batch, losses.wrt)?;
    let (output, total) = with_graph(|| {
        let output = forward(&around(batch, losses.wrt, &leaf))?.output;
        let total = losses.total(&output);
        Ok((output, total))
    })?;
    // Losses may all be constant.
    let gradient = if total.requires_grad() {
        Tensor::run_backward(&[&total], &[&leaf], false, false).remove(0)
    } else {
        leaf.zeros_like()
    };
    let kind = if leaf.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    Ok(Answer { output: output.detach(), gradient: Some(gradient.to_kind(kind).detach()) })
}

/// What the gradient is taken in, at the root of a graph of its own.
fn leaf(batch: &Batch, wrt: Wrt) -> Result<Tensor> {
    let tensor = match wrt {
        Wrt::X => &batch.x,
        Wrt::Cond(name) => {
            let none = || Failure::Internal(format!("no `{name}` goes along with the rows"));
            batch.cond.get(name).ok_or_else(none)?
        }
    };
    if !tensor.is_floating_point() {
        return Err(Failure::Internal(format!("no gradient can be taken in whole numbers: {wrt:?}")));
    }
    Ok(tensor.detach().set_requires_grad(true))
}

/// The batch with the leaf in its place.
fn around(batch: &Batch, wrt: Wrt, leaf: &Tensor) -> Batch {
    let (x, cond) = match wrt {
        Wrt::X => (leaf, batch.cond.clone()),
        Wrt::Cond(name) => (&batch.x, batch.cond.clone().with(name, leaf.shallow_clone())),
    };
    Batch { x: x.shallow_clone(), t: batch.t.clone(), cond, skip: batch.skip, taps: batch.taps.clone() }
}

/// Runs `f` while torch keeps a graph. Whether it did before holds again afterwards, even where `f` panics.
fn with_graph<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    let _before = tch::no_grad_guard();
    tch::with_grad(f)
}
