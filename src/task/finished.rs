use tch::{Kind, Tensor};

use super::{Made, prompted::question};
use crate::{
    ask::{Net, Stage},
    error::{Failure, Result},
    job::Format,
    model::Card,
};

/// The results in a format from final latents `[n, C, h, w]`, in their order.
///
/// # Errors
/// What the decoder fails with, or latents that are not finite.
pub async fn finished(card: &Card, format: Format, net: &Net, latents: Tensor) -> Result<Vec<Made>> {
    match format {
        Format::Safetensors => finished_latents(net, &latents).await,
        _ => decoded(net, card, latents).await,
    }
}

async fn decoded(net: &Net, card: &Card, latents: Tensor) -> Result<Vec<Made>> {
    let pixels = net.ask(question(card, Stage::Decode, latents, 0)).await?.output;
    drawn(net, &pixels).await
}

/// The pictures of pixels `[n, 3, H, W]` in -1..1.
///
/// # Errors
/// A device error.
pub async fn drawn(net: &Net, pixels: &Tensor) -> Result<Vec<Made>> {
    let bytes = ((pixels.clamp(-1.0, 1.0) + 1.0) * 127.5).round().to_kind(Kind::Uint8);
    let rows = net.fetch(&bytes.permute([0, 2, 3, 1]).contiguous()).await?;
    (0..rows.size()[0]).map(|k| Ok(Made::Picture(Vec::try_from(rows.get(k).view(-1))?))).collect()
}

async fn finished_latents(net: &Net, latents: &Tensor) -> Result<Vec<Made>> {
    let rows = net.fetch(&latents.to_kind(Kind::Float).contiguous()).await?;
    let row = |k| Ok(Vec::<f32>::try_from(rows.get(k).view(-1))?);
    let rows: Vec<Vec<f32>> = (0..rows.size()[0]).map(row).collect::<Result<_>>()?;
    if rows.iter().flatten().any(|value| !value.is_finite()) {
        return Err(Failure::NotFinite);
    }
    Ok(rows.into_iter().map(Made::Latents).collect())
}
