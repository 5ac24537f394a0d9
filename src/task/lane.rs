use futures_util::future::try_join_all;
use tch::{Device, Kind, Tensor};

use super::{Plan, prompted::Prompted};
use crate::{
    ask::{Net, Rows},
    denoiser::Denoiser,
    error::Result,
    noise::Noise,
    sampler::Run,
    wrapper::Partner,
};

/// The final latents `[n, C, h, w]`: one run for all pictures, or one for each where the way depends on the values.
///
/// # Errors
/// What the network fails with.
pub async fn sampled(plan: &Plan, net: &Net, device: Device) -> Result<Tensor> {
    let own = Prompted::new(&plan.told, plan, net, device).await?;
    let mut partners = Vec::new();
    for told in &plan.partners {
        partners.push(match told {
            Some(told) => Some(Prompted::new(told, plan, net, device).await?),
            None => None,
        });
    }
    let seeds = plan.seeds();
    let each = if plan.stack.alone() { 1 } else { seeds.len() };
    let (own, partners, many) = (&own, &partners[..], seeds.len());
    let lanes = seeds.chunks(each).enumerate().map(|(at, seeds)| {
        let rows = Rows { first: at * each, of: many };
        Lane { plan, net, device, own, partners, rows }.sample(seeds.to_vec())
    });
    // Up to 30 futures are polled all at each wake, which a run relies on: a job has at most 16 pictures.
    let ends = try_join_all(lanes).await?;
    Ok(crate::ask::concat(&ends.iter().collect::<Vec<_>>()))
}

/// Some of a job's pictures, sampled as one.
struct Lane<'a> {
    plan: &'a Plan,
    net: &'a Net,
    device: Device,
    own: &'a Prompted<'a>,
    partners: &'a [Option<Prompted<'a>>],
    rows: Rows,
}

impl Lane<'_> {
    async fn sample(self, seeds: Vec<u64>) -> Result<Tensor> {
        let (plan, n) = (self.plan, i64::try_from(seeds.len()).expect("few pictures"));
        let mut run = self.run(seeds, n);
        for (wrapper, partner) in plan.stack.wrappers.iter().zip(self.partners) {
            let partner = partner
                .as_ref()
                .map(|prompted| Partner { network: prompted.network(n), process: prompted.card.process.clone() });
            wrapper.apply(&mut run, partner).await?;
        }
        let states = plan.stack.solver.sample(run).await?;
        Ok(self.own.coordinates.picture(&states, &plan.grid.last()))
    }

    fn run(&self, seeds: Vec<u64>, n: i64) -> Run {
        let (plan, grid) = (self.plan, &self.plan.grid);
        let noise = Noise::new(seeds, &plan.shape(), Kind::Float, self.device);
        let x = self.start(&noise);
        let denoiser = Denoiser {
            net: self.net.clone(),
            network: self.own.network(n),
            stitches: Vec::new(),
            guidance: plan.guidance.clone(),
            corrections: Vec::new(),
            threshold: None,
            anchor: None,
            grid: grid.clone(),
            rows: self.rows,
        };
        let process = plan.card.process.clone();
        Run { denoiser, noise, process, grid: grid.clone(), x, warm: Vec::new(), hooks: Vec::new() }
    }

    fn start(&self, noise: &Noise) -> Tensor {
        let plan = self.plan;
        let z = match &plan.latents {
            Some(values) => Tensor::from_slice(values).view(plan.shape()).unsqueeze(0).to_device(self.device),
            None => noise.start(),
        };
        z * plan.ends.start.scale(&plan.grid.first())
    }
}
