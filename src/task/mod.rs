//! Tasks: a whole job as one async function, from the valid request to pixels.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use tch::{Device, Tensor};

use crate::{
    ask::Net,
    error::{Fault, Result},
    job::Request,
    model::Card,
    pixels::Given,
};

mod cut;
mod edit;
mod editing;
mod finished;
mod generate;
mod invert;
mod lane;
mod look;
mod plan;
mod prompted;
mod run;
mod variation;

pub use cut::Cut;
pub use edit::edit;
pub use editing::Editing;
pub use generate::generate;
pub use look::{Look, look};
pub use plan::{Cards, Plan, Told};
pub use variation::variation;

/// A whole job, worked out off the engine thread.
pub enum Task {
    /// Pictures, or the code of one.
    Pictures(Box<Plan>),
    /// What the network sees in pictures.
    Look(Box<Look>),
}

impl Task {
    /// The task of a valid request; of its pictures these are still to make, and its inputs are still to be read.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn new(card: Arc<Card>, request: &Request, pictures: Vec<u32>, cards: Cards) -> Result<Self, Fault> {
        let plan = |request, pictures| Plan::new(card.clone(), request, pictures, cards);
        Ok(match request {
            Request::Pictures(request) => Self::Pictures(Box::new(plan((**request).clone(), pictures)?)),
            Request::Inversion(request) => {
                Self::Pictures(Box::new(plan(request.edit(), pictures)?.inverting(request.precision)?))
            }
            Request::Features(request) => Self::Look(Box::new(Look::new(card, (**request).clone()))),
        })
    }

    /// Network evaluations for each picture; `None` where the data decide.
    pub fn evaluations(&self) -> Option<u64> {
        match self {
            Self::Pictures(plan) => plan.evaluations(),
            Self::Look(look) => Some(look.evaluations()),
        }
    }

    /// The most network evaluations for each picture.
    pub fn most(&self) -> u64 {
        match self {
            Self::Pictures(plan) => plan.most(),
            Self::Look(look) => look.evaluations(),
        }
    }

    /// The most rows it asks for at once for each step.
    pub fn rows(&self) -> u32 {
        match self {
            Self::Pictures(plan) => plan.rows(),
            Self::Look(look) => look.rows(),
        }
    }

    /// The model.
    pub fn card(&self) -> &Arc<Card> {
        match self {
            Self::Pictures(plan) => &plan.card,
            Self::Look(look) => &look.card,
        }
    }

    /// -10..10
    pub fn priority(&self) -> i32 {
        match self {
            Self::Pictures(plan) => plan.request.priority,
            Self::Look(look) => look.request.priority,
        }
    }

    /// The name of its sampler; empty where it has none.
    pub fn sampler(&self) -> &str {
        match self {
            Self::Pictures(plan) => plan.request.sampler["name"].as_str().unwrap_or_default(),
            Self::Look(_) => "",
        }
    }

    /// What the pictures shall show.
    pub fn prompt(&self) -> &str {
        match self {
            Self::Pictures(plan) => &plan.request.prompt,
            Self::Look(look) => &look.request.prompt,
        }
    }

    /// How it ends before its time; `None` where it makes no pictures.
    pub fn cut(&self) -> Option<Cut> {
        let Self::Pictures(plan) = self else { return None };
        if plan.editing.as_ref().is_some_and(|editing| editing.inverts) {
            return None;
        }
        let given = plan.editing.as_ref().and_then(|editing| editing.given.clone());
        let over = given.filter(|given| given.mask.is_some());
        Some(Cut { card: plan.card.clone(), format: plan.request.output.format, pictures: plan.pictures.clone(), over })
    }

    /// Does it.
    pub fn work(self, net: Net, device: Device) -> LocalBoxFuture<'static, Result<Vec<Product>>> {
        match self {
            Self::Pictures(plan) => work(*plan, net, device),
            Self::Look(wish) => Box::pin(look(*wish, net, device)),
        }
    }
}

/// The task of a plan: an edit where it has a picture, else a generation.
pub fn work(plan: Plan, net: Net, device: Device) -> LocalBoxFuture<'static, Result<Vec<Product>>> {
    match plan.editing {
        Some(_) => Box::pin(edit(plan, net, device)),
        None => Box::pin(generate(plan, net, device)),
    }
}

/// One finished result of a run, on the processor.
#[derive(Debug)]
pub struct Product {
    /// Which picture of the job.
    pub index: u32,
    /// What it is.
    pub made: Made,
    /// The given picture, where a mask keeps parts of it, which are still to be put back, or where a code goes with it.
    pub over: Option<Arc<Given>>,
}

/// The bytes of a result.
#[derive(Debug)]
pub enum Made {
    /// RGB, eight bits, row by row.
    Picture(Vec<u8>),
    /// Latents `[C, h, w]` as the sampler ended them.
    Latents(Vec<f32>),
    /// The tensors of a code, by name.
    Code(Vec<(String, Tensor)>),
    /// What the network sees, by name.
    Features(Vec<(String, Tensor)>),
}
