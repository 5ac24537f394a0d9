use std::cell::Cell;

use futures_util::future::try_join_all;
use tch::{Device, Kind, Tensor};

use super::{
    Plan,
    prompted::Prompted,
    run::{Start, run},
};
use crate::{
    ask::{Net, Rows},
    denoiser::{Anchor, Kept},
    edit::{Fill, Hold},
    error::Result,
    noise::Noise,
    process::{Grid, Level},
    sampler::{Run, combine},
    wrapper::Partner,
};

/// What is known of the pictures before the first step.
pub struct Known {
    /// Clean latents, `[1, C, h, w]`.
    pub picture: Tensor,
    /// Where they may change, `[1, 1, h, w]` of booleans; `None` where nothing is held.
    pub free: Option<Tensor>,
    /// What stands there at the start.
    pub fill: Fill,
    /// The clean latents of the picture with the colours around in that place, where they are asked for.
    pub filled: Option<Tensor>,
    /// What an inpainting network is told of it, `[1, 1 + C, h, w]`.
    pub told: Option<Tensor>,
}

/// The final latents `[n, C, h, w]`: one run for all pictures, or one for each where the way depends on the values.
///
/// # Errors
/// What the network fails with.
pub async fn sampled(plan: &Plan, net: &Net, device: Device, known: Option<&Known>) -> Result<Tensor> {
    let mut own = Prompted::new(&plan.told, plan, net, device).await?;
    if let Some(told) = known.and_then(|known| known.told.as_ref()) {
        own = own.beside("concat", told);
    }
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
        Lane { plan, net, device, own, partners, rows, known }.sample(seeds.to_vec())
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
    known: Option<&'a Known>,
}

impl Lane<'_> {
    async fn sample(self, seeds: Vec<u64>) -> Result<Tensor> {
        let noise = Noise::new(seeds, &self.plan.shape(), Kind::Float, self.device);
        let mut x = self.start(&noise);
        let mut at = self.plan.grid.first();
        for (pass, leg) in (0..).zip(&self.plan.legs) {
            if pass > 0 {
                x = self.raised(&x, &at, &leg.first(), &noise.pass(pass));
            }
            let start = Start { x, noise: noise.pass(pass), grid: leg, rows: self.rows };
            let mut run = run(self.plan, self.net, self.own, start);
            run.denoiser.anchor = self.anchor(noise.pass(pass));
            x = self.walked(run).await?;
            at = leg.last();
        }
        Ok(self.own.coordinates.picture(&x, &at))
    }

    async fn walked(&self, mut run: Run) -> Result<Tensor> {
        let n = run.x.size()[0];
        for (wrapper, partner) in self.plan.stack.wrappers.iter().zip(self.partners) {
            let partner = partner
                .as_ref()
                .map(|prompted| Partner { network: prompted.network(n), process: prompted.card.process.clone() });
            wrapper.apply(&mut run, partner).await?;
        }
        self.plan.stack.solver.sample(run).await
    }

    /// The states `[n, C, h, w]` at the first level: noise, or the noised picture of an edit, or each in its place.
    fn start(&self, noise: &Noise) -> Tensor {
        let plan = self.plan;
        let z = match &plan.latents {
            Some(values) => Tensor::from_slice(values).view(plan.shape()).unsqueeze(0).to_device(self.device),
            None => noise.start(),
        };
        let level = plan.legs.first().map_or(plan.grid.first(), Grid::first);
        let alone = &z * plan.ends.start.scale(&level);
        let (Some(known), Some(editing)) = (self.known, &plan.editing) else { return alone };
        let noised = self.filled(known, &z) * level.alpha + z * level.sigma;
        match (&known.free, editing.from_noise()) {
            (_, false) => noised,
            (Some(free), true) => alone.where_self(free, &noised),
            (None, true) => alone,
        }
    }

    /// The states `x` at a level, with fresh noise up to a noisier one.
    fn raised(&self, x: &Tensor, low: &Level, high: &Level, noise: &Noise) -> Tensor {
        let kept = self.plan.card.process.kept(high, low);
        let own = kept * low.sigma;
        let added = (high.sigma * high.sigma - own * own).max(0.0).sqrt();
        combine(&[(kept, x), (added, &noise.start())])
    }

    /// The clean states of what is known, `[1, C, h, w]`.
    fn clean(&self, known: &Known) -> Tensor {
        self.state(&known.picture)
    }

    /// Clean latents as states of the run.
    fn state(&self, latents: &Tensor) -> Tensor {
        self.own.coordinates.state(latents, &self.plan.card.process.clean())
    }

    /// The clean states of what a path through the picture starts from, `[1 or n, C, h, w]`.
    fn filled(&self, known: &Known, z: &Tensor) -> Tensor {
        let clean = self.clean(known);
        let Some(free) = &known.free else { return clean };
        match (known.fill, &known.filled) {
            (Fill::Noise, _) => z.where_self(free, &clean),
            (Fill::Nothing, _) => clean.zeros_like().where_self(free, &clean),
            (Fill::Surroundings, Some(filled)) => self.state(filled).where_self(free, &clean),
            _ => clean,
        }
    }

    /// What holds the known part in place on a leg of its own noise.
    fn anchor(&self, noise: Noise) -> Option<Box<dyn Anchor>> {
        let known = self.known?;
        let (free, hold) = (known.free.as_ref()?, self.plan.editing.as_ref()?.method.hold()?);
        let next = Cell::new(0);
        let draw = move || noise.known(next.replace(next.get() + 1));
        let fresh: Option<Box<dyn Fn() -> Tensor>> = match hold {
            Hold::Path => None,
            Hold::Fresh => Some(Box::new(draw)),
        };
        Some(Box::new(Kept { known: self.clean(known), free: free.shallow_clone(), fresh }))
    }
}
