//! What a sampler sees of a network: a clean picture and a noise, whatever it predicts and however it is guided.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use tch::Tensor;

use crate::{
    ask::{Ask, Conditioning, Net, Stage},
    error::Result,
    guidance::{Branch, Guidance},
    process::{Grid, Level},
};

mod prediction;

pub use prediction::Prediction;

/// What the network says at a level, in both forms, each `[n, C, h, w]`.
#[derive(Debug)]
pub struct Estimate {
    /// The clean picture.
    pub x0: Tensor,
    /// The noise.
    pub eps: Tensor,
}

/// A network behind its prediction type and guidance, for the n pictures of one run.
pub struct Denoiser {
    /// The way to the network.
    pub net: Net,
    /// The model's id.
    pub model: Arc<str>,
    /// What the model predicts.
    pub prediction: Prediction,
    /// How it is guided.
    pub guidance: Box<dyn Guidance>,
    /// What goes along with the rows of each branch, `[n, ..]`.
    pub conditions: Conditions,
    /// The run's levels, from which guidance learns how far it is.
    pub grid: Grid,
}

/// The conditioning of each branch, and what was put together of it last.
pub struct Conditions {
    positive: Conditioning,
    negative: Conditioning,
    together: RefCell<Option<(&'static [Branch], Rc<Conditioning>)>>,
}

impl Conditions {
    /// From what goes along with the rows of each branch, `[n, ..]` both.
    pub fn new(positive: Conditioning, negative: Conditioning) -> Self {
        Self { positive, negative, together: RefCell::new(None) }
    }

    fn of(&self, branches: &'static [Branch]) -> Rc<Conditioning> {
        if let Some((known, together)) = &*self.together.borrow()
            && *known == branches
        {
            return together.clone();
        }
        let parts: Vec<_> = branches
            .iter()
            .map(|branch| match branch {
                Branch::Positive => &self.positive,
                Branch::Negative => &self.negative,
            })
            .collect();
        let together = Rc::new(Conditioning::concat(&parts));
        *self.together.borrow_mut() = Some((branches, together.clone()));
        together
    }
}

impl Denoiser {
    /// The estimate for the pictures `x` `[n, C, h, w]` at a level of positive noise: one evaluation for each picture,
    /// one row for each of its branches.
    ///
    /// # Errors
    /// What the network fails with.
    pub async fn denoise(&self, x: &Tensor, level: &Level) -> Result<Estimate> {
        let branches = self.guidance.branches(self.grid.share(level));
        let output = self.net.ask(self.question(x, level, branches)).await?.output;
        let outputs = output.chunk(i64::try_from(branches.len()).expect("few branches"), 0);
        let (x0, eps) = self.prediction.read(x, &self.guidance.mix(&outputs), level);
        self.net.show(&x0);
        Ok(Estimate { x0, eps })
    }

    fn question(&self, x: &Tensor, level: &Level, branches: &'static [Branch]) -> Ask {
        let rows = crate::ask::concat(&vec![x; branches.len()]);
        let pictures = usize::try_from(x.size()[0]).expect("a size is not negative");
        Ask {
            model: self.model.clone(),
            stage: Stage::Predict,
            t: vec![level.t; pictures * branches.len()],
            x: rows,
            cond: (*self.conditions.of(branches)).clone(),
            skip: 0,
            together: false,
            pictures,
        }
    }
}
