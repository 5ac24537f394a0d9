//! The two halves of an edit that starts from a code: finding it under what the picture shows, and walking on under the wish.

use futures_util::future::try_join_all;
use tch::Tensor;

use super::{
    Plan,
    editing::{Editing, reader},
    prompted::Prompted,
    run::{Start, run},
};
use crate::{
    ask::{Net, Rows},
    edit::{Code, Invert, Target},
    error::{Failure, Result},
    noise::Noise,
    process::Grid,
};

/// The code of a picture, latents `[1, C, h, w]`, over a grid: one for all pictures of the plan, or one for each.
///
/// # Errors
/// What the network fails with.
pub async fn found(plan: &Plan, editing: &Editing, net: &Net, (picture, grid): (&Tensor, &Grid)) -> Result<Code> {
    let invert = editing.method.invert().ok_or_else(|| Failure::Internal("the method finds no code".into()))?;
    let device = picture.device();
    let source = Prompted::new(&editing.source, plan, net, device).await?;
    let seeds = if invert.draws() { plan.seeds() } else { vec![plan.request.seed] };
    let n = i64::try_from(seeds.len()).expect("few pictures");
    let clean = source.coordinates.state(picture, &plan.card.process.clean()).to_kind(editing.kind);
    let start = Start {
        x: clean.repeat([n, 1, 1, 1]),
        noise: Noise::new(seeds, &plan.shape(), editing.kind, device),
        grid,
        rows: Rows { first: 0, of: plan.pictures.len() },
    };
    let mut run = run(plan, net, &source, start);
    run.denoiser.pictures = plan.pictures.len();
    if let Some(guidance) = &editing.source_guidance {
        run.denoiser.guidance = guidance.clone();
    }
    invert.find(run, &*plan.stack.solver).await
}

/// The final latents `[n, C, h, w]` of an edit from a code over a grid.
///
/// # Errors
/// What the network fails with.
pub async fn edited(
    plan: &Plan,
    editing: &Editing,
    net: &Net,
    (code, grid): (&Code, &Grid),
    invert: &dyn Invert,
) -> Result<Tensor> {
    let device = code.device();
    let own = Prompted::new(&plan.told, plan, net, device).await?;
    let source = Prompted::new(&editing.source, plan, net, device).await?;
    let seeds = plan.seeds();
    let (each, of) = (if plan.stack.alone() { 1 } else { seeds.len() }, seeds.len());
    let (own, source) = (&own, &source);
    let read = reader(&plan.card);
    let words = read.as_ref().map(|read| editing.words(&plan.request.prompt, read));
    let words = words.as_ref();
    let lanes = seeds.chunks(each).enumerate().map(async |(at, seeds)| {
        let rows = Rows { first: at * each, of };
        let (first, n) =
            (i64::try_from(rows.first).expect("few pictures"), i64::try_from(seeds.len()).expect("few pictures"));
        let code = code.rows(first, n);
        let noise = Noise::new(seeds.to_vec(), &plan.shape(), editing.kind, device);
        let x = noise.start().zeros_like();
        let run = run(plan, net, own, Start { x, noise, grid, rows });
        let (solver, factor) = (&*plan.stack.solver, i64::from(plan.card.factor));
        let target = Target { run, source: source.conditions(n), solver, words, factor };
        let x = invert.edit(&code, target).await?;
        Ok::<_, Failure>(own.coordinates.picture(&x, &grid.last()))
    });
    // Up to 30 futures are polled all at each wake, which a run relies on: a job has at most 16 pictures.
    let ends: Vec<Tensor> = try_join_all(lanes).await?;
    Ok(crate::ask::concat(&ends.iter().collect::<Vec<_>>()))
}
