//! What the two exactly reversible methods have in common: a code of two coupled states.

use futures_util::future::LocalBoxFuture;
use tch::Tensor;

use super::{Code, Cost, Part, Target, Walker};
use crate::{
    error::{Failure, Fault, Result},
    process::Grid,
    sampler::{AnySolver, Reversible, Run},
};

/// How much a way back may magnify rounding, so that f32 keeps three digits.
const MOST_GROWTH: f64 = 1e4;

/// Whether the walker is the reversible sampler of that name, with options and steps that rounding survives.
pub fn carried_by(walker: &Walker, name: &str, option: &str) -> Result<(), Fault> {
    walker.bare()?;
    walker.has_signal()?;
    let reversible = walker.solver.reversible().filter(|_| walker.name() == name);
    let Some(reversible) = reversible else {
        return Err(Fault::new("", format!("must be `{name}` with `{option}` above 0, which is walked backwards")));
    };
    let (steps, growth) = (walker.grid.len(), reversible.growth(walker.grid.len()));
    if growth <= MOST_GROWTH {
        return Ok(());
    }
    let message =
        format!("magnifies rounding {growth:.0e} times in {steps} steps, {MOST_GROWTH:.0e} at most: nearer to 1");
    Err(Fault::new(format!("/{option}"), message))
}

fn reversible(solver: &dyn AnySolver) -> Result<&dyn Reversible> {
    solver.reversible().ok_or_else(|| Failure::Internal("the sampler cannot be walked backwards".into()))
}

pub fn parts() -> Vec<(&'static str, Part)> {
    vec![("pair", Part::States(2))]
}

pub fn cost(grid: &Grid, solver: &dyn AnySolver) -> Cost {
    let [edit, invert] = solver.reversible().map_or([0, 0], |solver| solver.evaluations(grid.len()));
    Cost::of(invert, edit)
}

pub fn find<'a>(run: Run, solver: &'a dyn AnySolver) -> LocalBoxFuture<'a, Result<Code>> {
    Box::pin(async move {
        let pair = reversible(solver)?.backwards(&run, &run.x).await?;
        Ok(Code::of("pair", Tensor::stack(&pair, 1)))
    })
}

pub fn edit<'a>(code: &'a Code, target: Target<'a>) -> LocalBoxFuture<'a, Result<Tensor>> {
    Box::pin(async move {
        let pair = [code.state("pair", 0), code.state("pair", 1)];
        reversible(target.solver)?.forwards(&target.run, pair).await
    })
}
