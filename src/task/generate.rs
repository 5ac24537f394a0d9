use futures_util::future::try_join_all;
use tch::{Device, Kind, Tensor};

use super::{Made, Plan, Product, Told, plan::steering};
use crate::{
    ask::{Ask, Conditioning, Net, Rows, Stage},
    denoiser::{Conditions, Denoiser, Network},
    error::{Failure, Result},
    job::{Format, Generation},
    model::Card,
    noise::Noise,
    sampler::Run,
    wrapper::{Partner, Stack},
};

/// Text (or a label, or nothing) to pictures: embed, sample, decode.
///
/// # Errors
/// What the network fails with, or a result that is not finite.
pub async fn generate(plan: Plan, net: Net, device: Device) -> Result<Vec<Product>> {
    let latents = sampled(&plan, &net, device).await?;
    let made = match plan.request.output.format {
        Format::Safetensors => finished_latents(&net, &latents).await?,
        _ => decode(&net, &plan.card, latents).await?,
    };
    Ok(plan.pictures.iter().zip(made).map(|(index, made)| Product { index: *index, made }).collect())
}

/// The final latents `[n, C, h, w]`: one run for all pictures, or one for each where the way depends on the values.
async fn sampled(plan: &Plan, net: &Net, device: Device) -> Result<Tensor> {
    let seeds = plan.seeds();
    let many = seeds.len();
    if !plan.stack.alone() {
        return Lane { plan, net, device, seeds, first: 0, many }.sample().await;
    }
    let lanes =
        (0..).zip(seeds).map(|(first, seed)| Lane { plan, net, device, seeds: vec![seed], first, many }.sample());
    // Up to 30 futures are polled all at each wake, which a run relies on: a job has at most 16 pictures.
    let ends = try_join_all(lanes).await?;
    Ok(Tensor::cat(&ends, 0))
}

/// Some of a job's pictures, sampled as one.
struct Lane<'a> {
    plan: &'a Plan,
    net: &'a Net,
    device: Device,
    seeds: Vec<u64>,
    first: usize,
    many: usize,
}

impl Lane<'_> {
    async fn sample(self) -> Result<Tensor> {
        let Self { plan, net, device, seeds, first, many } = self;
        let noise = Noise::new(seeds.clone(), &plan.shape(), Kind::Float, device);
        let network = self::network(&plan.told, plan, (net, device, seeds.len())).await?;
        let denoiser = Denoiser {
            net: net.clone(),
            network,
            stitches: Vec::new(),
            guidance: steering(&plan.request)?,
            corrections: Vec::new(),
            threshold: None,
            grid: plan.grid.clone(),
            rows: Rows { first, of: many },
        };
        let (x, grid) = (start(plan, &noise, device), plan.grid.clone());
        let process = plan.card.process.clone();
        let mut run = Run { denoiser, noise, process, grid, x, warm: Vec::new(), hooks: Vec::new() };
        let Stack { solver, wrappers, .. } = Stack::read(&plan.request.sampler)?;
        for (wrapper, told) in wrappers.iter().zip(&plan.partners) {
            let partner = match told {
                Some(told) => {
                    let network = self::network(told, plan, (net, device, seeds.len())).await?;
                    Some(Partner { network, process: told.card.process.clone() })
                }
                None => None,
            };
            wrapper.apply(&mut run, partner).await?;
        }
        solver.sample(run).await
    }
}

async fn network(told: &Told, plan: &Plan, (net, device, pictures): (&Net, Device, usize)) -> Result<Network> {
    let n = i64::try_from(pictures).expect("few pictures");
    let conditions = conditions(told, &plan.request, net, (device, n)).await?;
    Ok(Network { model: told.card.id.clone(), prediction: told.card.prediction, conditions })
}

async fn conditions(told: &Told, request: &Generation, net: &Net, (device, n): (Device, i64)) -> Result<Conditions> {
    if let Some(tokens) = &told.tokens {
        let rows = tokens.each_ref().map(|ids| Tensor::from_slice(ids).unsqueeze(0));
        let x = Tensor::cat(&rows, 0).to_device(device);
        let context = net.ask(question(&told.card, Stage::Embed, x, request.clip_skip)).await?.output;
        let row = |at: i64| {
            let one = context.narrow(0, at, 1);
            Conditioning::none().with("context", one.expand([&[n], &one.size()[1..]].concat(), false))
        };
        return Ok(Conditions::new(row(0), row(1)));
    }
    let label = |label: i64| Conditioning::none().with("label", Tensor::full([n], label, (Kind::Int64, device)));
    Ok(Conditions::new(label(request.label.map_or(-1, i64::from)), label(-1)))
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
