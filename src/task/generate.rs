use tch::{Device, Kind, Tensor};

use super::{Made, Plan, Product};
use crate::{
    ask::{Ask, Conditioning, Net, Stage},
    denoiser::{Conditions, Denoiser},
    error::{Failure, Result},
    job::Format,
    model::Card,
    noise::Noise,
    sampler::Run,
};

/// Text (or a label, or nothing) to pictures: embed, sample, decode.
///
/// # Errors
/// What the network fails with, or a result that is not finite.
pub async fn generate(plan: Plan, net: Net, device: Device) -> Result<Vec<Product>> {
    let conditions = conditions(&plan, &net, device).await?;
    let noise = Noise::new(plan.seeds(), &plan.shape(), Kind::Float, device);
    let x = start(&plan, &noise, device);
    let Plan { card, request, pictures, solver, guidance, grid, .. } = plan;
    let denoiser = Denoiser {
        net: net.clone(),
        model: card.id.clone(),
        prediction: card.prediction,
        guidance,
        conditions,
        grid: grid.clone(),
    };
    let latents = solver.sample(Run { denoiser, noise, grid, x }).await?;
    let made = match request.output.format {
        Format::Safetensors => finished_latents(&net, &latents).await?,
        _ => decode(&net, &card, latents).await?,
    };
    Ok(pictures.into_iter().zip(made).map(|(index, made)| Product { index, made }).collect())
}

async fn conditions(plan: &Plan, net: &Net, device: Device) -> Result<Conditions> {
    let n = i64::try_from(plan.pictures.len()).expect("few pictures");
    if let Some(tokens) = &plan.tokens {
        let rows = tokens.each_ref().map(|ids| Tensor::from_slice(ids).unsqueeze(0));
        let x = Tensor::cat(&rows, 0).to_device(device);
        let context = net.ask(question(&plan.card, Stage::Embed, x, plan.request.clip_skip)).await?.output;
        let row = |at: i64| {
            let one = context.narrow(0, at, 1);
            Conditioning::none().with("context", one.expand([&[n], &one.size()[1..]].concat(), false))
        };
        return Ok(Conditions::new(row(0), row(1)));
    }
    let label = |label: i64| Conditioning::none().with("label", Tensor::full([n], label, (Kind::Int64, device)));
    Ok(Conditions::new(label(plan.request.label.map_or(-1, i64::from)), label(-1)))
}

fn start(plan: &Plan, noise: &Noise, device: Device) -> Tensor {
    let z = match &plan.latents {
        Some(values) => Tensor::from_slice(values).view(plan.shape()).unsqueeze(0).to_device(device),
        None => noise.start(),
    };
    z * plan.ends.start.scale(&plan.grid.first())
}

async fn decode(net: &Net, card: &Card, latents: Tensor) -> Result<Vec<Made>> {
    let pixels = net.ask(question(card, Stage::Decode, latents, 0)).await?.output;
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

fn question(card: &Card, stage: Stage, x: Tensor, skip: u32) -> Ask {
    let (model, cond) = (card.id.clone(), Conditioning::none());
    Ask { model, stage, x, t: Vec::new(), cond, skip, together: false, pictures: 0 }
}
