use image::{GrayImage, RgbImage};
use tch::{Device, Kind, Tensor};

use super::{
    Made, Plan, Product,
    finished::finished,
    invert::{edited, found},
    lane::{Known, sampled},
    prompted::question,
};
use crate::{
    ask::{Net, Stage},
    edit::{Code, Fill},
    error::{Failure, Result},
    pixels::{Given, surrounded},
};

/// A picture and a wish to pictures: encode, sample on from there, decode; what the mask keeps is put back when the result is
/// stored. Without a step it is the way through the autoencoder and back. An inversion ends with its code.
///
/// # Errors
/// What the network fails with, or a result that is not finite.
pub async fn edit(mut plan: Plan, net: Net, device: Device) -> Result<Vec<Product>> {
    let code = plan.editing.as_mut().and_then(|editing| editing.code.take());
    let (plan, editing) = (&plan, plan.editing.as_ref().ok_or_else(|| missing("nothing"))?);
    let given = editing.given.as_ref().ok_or_else(|| missing("no picture"))?;
    let latents = match (plan.legs.first(), editing.method.invert()) {
        (None, _) => repeated(plan, &encoded(plan, &net, &given.picture, device).await?),
        (Some(_), None) => {
            let known = known(plan, &net, given, device).await?;
            sampled(plan, &net, device, Some(&known)).await?
        }
        (Some(leg), Some(invert)) => {
            let code = match code {
                Some(code) => code.to_device(device),
                None => found(plan, editing, &net, (&encoded(plan, &net, &given.picture, device).await?, leg)).await?,
            };
            if editing.inverts {
                return Ok(vec![Product { index: 0, made: coded(&net, &code).await?, over: Some(given.clone()) }]);
            }
            edited(plan, editing, &net, (&code, leg), invert).await?
        }
    };
    let made = finished(&plan.card, plan.request.output.format, &net, latents.to_kind(Kind::Float)).await?;
    let over = given.mask.is_some().then(|| given.clone());
    let product = |(index, made): (&u32, Made)| Product { index: *index, made, over: over.clone() };
    Ok(plan.pictures.iter().zip(made).map(product).collect())
}

fn missing(what: &str) -> Failure {
    Failure::Internal(format!("an edit has {what}"))
}

/// One picture's latents for all pictures.
fn repeated(plan: &Plan, picture: &Tensor) -> Tensor {
    picture.repeat([i64::try_from(plan.pictures.len()).expect("few pictures"), 1, 1, 1])
}

/// A code of one picture, on the processor and without the dimension of pictures.
async fn coded(net: &Net, code: &Code) -> Result<Made> {
    let mut tensors = Vec::new();
    for (name, tensor) in code.iter() {
        let tensor = net.fetch(&tensor.select(0, 0).contiguous()).await?;
        if !f64::try_from(tensor.abs().max())?.is_finite() {
            return Err(Failure::NotFinite);
        }
        tensors.push((name.to_owned(), tensor));
    }
    Ok(Made::Code(tensors))
}

/// The latents `[1, C, h, w]` of a picture.
async fn encoded(plan: &Plan, net: &Net, picture: &RgbImage, device: Device) -> Result<Tensor> {
    let pixels = pixels(picture, device);
    Ok(net.ask(question(&plan.card, Stage::Encode, pixels, 0)).await?.output.contiguous())
}

/// A picture as an autoencoder takes it, `[1, 3, H, W]` in -1..1.
pub fn pixels(picture: &RgbImage, device: Device) -> Tensor {
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    let bytes = Tensor::from_slice(picture.as_raw()).view([1, height, width, 3]).to_device(device);
    bytes.permute([0, 3, 1, 2]).to_kind(Kind::Float).contiguous() / 127.5 - 1.0
}

/// What is known of the pictures before the first step. An inpainting network is told what the mask keeps; for others it is
/// held.
async fn known(plan: &Plan, net: &Net, given: &Given, device: Device) -> Result<Known> {
    let (picture, free) = (encoded(plan, net, &given.picture, device).await?, free(plan, given, device));
    let fill = plan.editing.as_ref().map_or(Fill::Original, |editing| editing.method.fill());
    let filled = match &given.mask {
        Some(mask) if fill == Fill::Surroundings => {
            Some(encoded(plan, net, &surrounded(&given.picture, mask), device).await?)
        }
        _ => None,
    };
    match (&given.mask, plan.card.inpaints && free.is_some()) {
        (Some(mask), true) => {
            let told = told(plan, net, (&given.picture, mask), device).await?;
            Ok(Known { picture, free: None, fill, filled, told: Some(told) })
        }
        _ => Ok(Known { picture, free, fill, filled, told: None }),
    }
}

/// What an inpainting network is told: the mask, at the first pixel of each cell, 1 from half white on, and the latents of
/// the picture with grey where it may change (as Rombach et al. 2022 trained it).
async fn told(plan: &Plan, net: &Net, (picture, mask): (&RgbImage, &GrayImage), device: Device) -> Result<Tensor> {
    let (width, height) = (i64::from(mask.width()), i64::from(mask.height()));
    let bytes = Tensor::from_slice(mask.as_raw()).view([1, 1, height, width]).to_device(device);
    let free = bytes.ge(128).to_kind(Kind::Float);
    let kept = pixels(picture, device) * (1.0 - &free);
    let latents = net.ask(question(&plan.card, Stage::Encode, kept, 0)).await?.output;
    let cells = free.upsample_nearest2d([latents.size()[2], latents.size()[3]], None, None);
    Ok(Tensor::cat(&[cells, latents], 1))
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
