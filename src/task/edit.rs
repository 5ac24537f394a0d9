use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use super::{
    Plan, Product,
    finished::finished,
    lane::{Known, sampled},
    prompted::question,
};
use crate::{
    ask::{Net, Stage},
    edit::{self, Method, tail},
    error::{Failure, Fault, Result},
    job,
    pixels::Given,
    process::Grid,
    wrapper::Stack,
};

/// What is done to a given picture.
pub struct Editing {
    /// How.
    pub method: Box<dyn Method>,
    /// Share of the steps that run.
    pub strength: f64,
    /// The picture and its mask at the size of the request, once they were read.
    pub given: Option<Arc<Given>>,
}

impl Editing {
    /// What a valid request's edit says.
    ///
    /// # Errors
    /// A method that this version does not know or read.
    pub fn new(edit: &job::Edit) -> Result<Self, Fault> {
        let method = edit::read(&edit.method).map_err(|fault| fault.under("/method"))?;
        Ok(Self { method, strength: edit.strength, given: None })
    }

    /// The legs of a schedule of `steps` steps that are walked; none at strength 0.
    ///
    /// # Errors
    /// A sampler whose steps are given one by one and cannot be taken apart.
    pub fn legs(&self, grid: &Grid, steps: usize, stack: &Stack) -> Result<Vec<Grid>, Fault> {
        let legs = tail(grid, steps, self.strength).map_or_else(Vec::new, |tail| self.method.legs(tail));
        let whole = legs.iter().all(|leg| leg == grid);
        if !whole && !stack.solver.divides() {
            let name = stack.sampler.entry.name;
            let message = format!("the steps of `{name}` are given one by one: all of them run, once, at strength 1");
            return Err(Fault::new("/strength", message));
        }
        Ok(legs)
    }

    /// Whether the path starts from noise alone.
    pub fn from_noise(&self) -> bool {
        self.strength >= 1.0
    }
}

/// A picture and a wish to pictures: encode, sample on from there, decode; what the mask keeps is put back when the result is
/// stored. Without a step it is the way through the autoencoder and back.
///
/// # Errors
/// What the network fails with, or a result that is not finite.
pub async fn edit(plan: Plan, net: Net, device: Device) -> Result<Vec<Product>> {
    let given = plan.editing.as_ref().and_then(|editing| editing.given.as_ref());
    let given = given.ok_or_else(|| Failure::Internal("an edit has no picture".into()))?;
    let picture = encoded(&plan, &net, given, device).await?;
    let latents = if plan.legs.is_empty() {
        let n = i64::try_from(plan.pictures.len()).expect("few pictures");
        picture.repeat([n, 1, 1, 1])
    } else {
        let free = free(&plan, given, device);
        sampled(&plan, &net, device, Some(&Known { picture, free })).await?
    };
    let made = finished(&plan, &net, latents).await?;
    let over = given.mask.is_some().then(|| given.clone());
    Ok(plan
        .pictures
        .iter()
        .zip(made)
        .map(|(index, made)| Product { index: *index, made, over: over.clone() })
        .collect())
}

/// The latents `[1, C, h, w]` of the given picture.
async fn encoded(plan: &Plan, net: &Net, given: &Given, device: Device) -> Result<Tensor> {
    let (width, height) = (i64::from(plan.request.width), i64::from(plan.request.height));
    let bytes = Tensor::from_slice(given.picture.as_raw()).view([1, height, width, 3]).to_device(device);
    let pixels = bytes.permute([0, 3, 1, 2]).to_kind(Kind::Float).contiguous() / 127.5 - 1.0;
    Ok(net.ask(question(&plan.card, Stage::Encode, pixels, 0)).await?.output.contiguous())
}

/// The latents, `[1, 1, h, w]` of booleans, in whose pixels any may change, where the method holds the others.
fn free(plan: &Plan, given: &Given, device: Device) -> Option<Tensor> {
    let mask = given.mask.as_ref()?;
    plan.editing.as_ref()?.method.hold()?;
    let (width, height) = (i64::from(mask.width()), i64::from(mask.height()));
    let pixels = Tensor::from_slice(mask.as_raw()).view([1, 1, height, width]).to_kind(Kind::Float);
    let cell = i64::from(plan.card.factor);
    Some(pixels.max_pool2d([cell, cell], [cell, cell], [0, 0], [1, 1], false).gt(0.0).to_device(device))
}
