use tch::Device;

use super::{Plan, Product, finished::finished, lane::sampled};
use crate::{ask::Net, error::Result};

/// Text (or a label, or nothing) to pictures: embed, sample, decode.
///
/// # Errors
/// What the network fails with, or a result that is not finite.
pub async fn generate(plan: Plan, net: Net, device: Device) -> Result<Vec<Product>> {
    let latents = sampled(&plan, &net, device, None).await?;
    let made = finished(&plan.card, plan.request.output.format, &net, latents).await?;
    Ok(plan.pictures.iter().zip(made).map(|(index, made)| Product { index: *index, made, over: None }).collect())
}
