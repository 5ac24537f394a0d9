//! What the two exactly reversible methods have in common: a code of two coupled states.

use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use tch::Tensor;

use super::{Code, Cost, Invert, Method, Part, Target, Walker};
use crate::{
    error::{Failure, Fault, Result},
    process::Grid,
    sampler::{AnySolver, Reversible, Run},
};

/// How much a way back may magnify rounding, so that f32 keeps three digits.
const MOST_GROWTH: f64 = 1e4;

/// A method whose sampler is walked backwards exactly; its options are the same but for what they are called.
pub trait Paired: Send + Sync {
    /// The name of its sampler.
    const SAMPLER: &'static str;
    /// The option of the sampler that rounding depends on.
    const OPTION: &'static str;

    /// See [`Method::feather`].
    fn feather(&self) -> u32;
    /// See [`Invert::source_guidance`].
    fn source_guidance(&self) -> Option<f64>;
    /// See [`Method::sampler`].
    fn sampler() -> Value {
        Self::SAMPLER.into()
    }
}

impl<M: Paired> Method for M {
    fn strength(&self) -> f64 {
        0.8
    }

    fn feather(&self) -> u32 {
        Paired::feather(self)
    }

    fn sampler(&self) -> Option<Value> {
        Some(M::sampler())
    }

    fn carried_by(&self, walker: &Walker) -> Result<(), Fault> {
        walker.bare()?;
        walker.has_signal()?;
        let (name, option) = (M::SAMPLER, M::OPTION);
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

    fn invert(&self) -> Option<&dyn Invert> {
        Some(self)
    }
}

impl<M: Paired> Invert for M {
    fn source_guidance(&self) -> Option<f64> {
        Paired::source_guidance(self)
    }

    fn parts(&self, _steps: usize) -> Vec<(&'static str, Part)> {
        vec![("pair", Part::States(2))]
    }

    fn cost(&self, grid: &Grid, solver: &dyn AnySolver) -> Cost {
        let [edit, invert] = solver.reversible().map_or([0, 0], |solver| solver.evaluations(grid.len()));
        Cost::of(invert, edit)
    }

    fn find<'a>(&'a self, run: Run, solver: &'a dyn AnySolver) -> LocalBoxFuture<'a, Result<Code>> {
        Box::pin(async move {
            let pair = reversible(solver)?.backwards(&run, &run.x).await?;
            Ok(Code::of("pair", Tensor::stack(&pair, 1)))
        })
    }

    fn edit<'a>(&'a self, code: &'a Code, target: Target<'a>) -> LocalBoxFuture<'a, Result<Tensor>> {
        Box::pin(async move {
            let pair = [code.state("pair", 0), code.state("pair", 1)];
            reversible(target.solver)?.forwards(&target.run, pair).await
        })
    }
}

fn reversible(solver: &dyn AnySolver) -> Result<&dyn Reversible> {
    solver.reversible().ok_or_else(|| Failure::Internal("the sampler cannot be walked backwards".into()))
}
