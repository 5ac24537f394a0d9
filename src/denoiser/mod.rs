//! What a sampler sees of a network: a clean picture and a noise, whatever it predicts and however it is guided.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use tch::Tensor;

use crate::{
    ask::{Ask, Conditioning, Net, Rows, Stage, Want},
    error::Result,
    guidance::{Branch, Guidance},
    process::{Grid, Level},
};

mod anchor;
mod coordinates;
mod prediction;
mod stitch;
mod threshold;

pub use anchor::Anchor;
pub use coordinates::Coordinates;
pub use prediction::{Around, Prediction};
pub use stitch::Stitch;
pub use threshold::Threshold;

/// What the network says at a level, in both forms and in the solver's variables, each `[n, C, h, w]`.
#[derive(Debug)]
pub struct Estimate {
    /// The clean picture.
    pub x0: Tensor,
    /// The noise.
    pub eps: Tensor,
    /// Where the network says one: how far the log variance of a step is from the least to the greatest possible, 0..1.
    pub range: Option<Tensor>,
}

/// A network and what goes along with its rows.
pub struct Network {
    /// The model's id.
    pub model: Arc<str>,
    /// What the model predicts.
    pub prediction: Prediction,
    /// What lies between its pictures and the solver's states.
    pub coordinates: Rc<Coordinates>,
    /// What goes along with the rows of each branch, `[n, ..]`.
    pub conditions: Conditions,
}

/// A change of every estimate before a sampler sees it.
pub trait Correction {
    /// The noise to go on with, from the noise `[n, C, h, w]` that the network said at a level.
    fn correct(&self, eps: &Tensor, level: &Level) -> Tensor;
}

/// A network behind its prediction type and guidance, for the n pictures of one run.
pub struct Denoiser {
    /// The way to the network.
    pub net: Net,
    /// The network.
    pub network: Network,
    /// Networks that stand in for it at the noisy end, noisiest first.
    pub stitches: Vec<Stitch>,
    /// How it is guided.
    pub guidance: Arc<dyn Guidance>,
    /// What is done to its estimates, in order.
    pub corrections: Vec<Box<dyn Correction>>,
    /// How clean pictures are brought into their range.
    pub threshold: Option<Threshold>,
    /// What is known of them, last of all.
    pub anchor: Option<Anchor>,
    /// The run's levels, from which guidance learns how far it is.
    pub grid: Grid,
    /// Which pictures of how many in the job these are, for previews.
    pub rows: Rows,
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
    /// The estimate for the states `x` `[n, C, h, w]` at a level of positive noise: one evaluation for each picture,
    /// one row for each of its branches.
    ///
    /// # Errors
    /// What the network fails with.
    pub async fn denoise(&self, x: &Tensor, level: &Level) -> Result<Estimate> {
        let own = &self.network.coordinates;
        let seen = self.anchor.as_ref().map_or_else(|| x.shallow_clone(), |anchor| anchor.seen(x, level));
        let estimate = match self.stitches.iter().find(|stitch| level.ratio() > stitch.above) {
            None => self.asked(&self.network, &seen, level, level).await?,
            Some(stitch) => {
                let (y, at) = stitch.theirs(own, &seen, level);
                stitch.ours(own, self.asked(&stitch.network, &y, &at, level).await?)
            }
        };
        let estimate = self.mended(&seen, level, estimate);
        let estimate = match &self.anchor {
            Some(anchor) => anchor.held(x, level, estimate),
            None => estimate,
        };
        self.net.show(&own.clean(&estimate.x0), self.rows);
        Ok(estimate)
    }

    /// What a network says of its states y at its level `at`; guidance goes by the run's.
    async fn asked(&self, network: &Network, y: &Tensor, at: &Level, level: &Level) -> Result<Estimate> {
        let branches = self.guidance.branches(self.grid.share(level));
        let pictures = network.coordinates.picture(y, at);
        let output = self.net.ask(question(network, &pictures, at.t, branches)).await?.output;
        let (outputs, range) = parted(&output, branches.len(), y.size()[1]);
        let estimate = network.coordinates.read(network.prediction, y, &self.guidance.mix(&outputs), at);
        Ok(Estimate { range, ..estimate })
    }

    fn mended(&self, x: &Tensor, level: &Level, mut estimate: Estimate) -> Estimate {
        // Without any signal the clean picture does not follow from the noise.
        if level.alpha > 0.0 {
            for correction in &self.corrections {
                let eps = correction.correct(&estimate.eps, level);
                estimate = Estimate { x0: (x - &eps * level.sigma) / level.alpha, eps, ..estimate };
            }
        }
        match self.threshold {
            None => estimate,
            Some(threshold) => {
                let x0 = self.network.coordinates.mended(&estimate.x0, |clean| threshold.apply(clean));
                let eps = (x - &x0 * level.alpha) / level.sigma;
                Estimate { x0, eps, ..estimate }
            }
        }
    }
}

fn question(network: &Network, x: &Tensor, t: f64, branches: &'static [Branch]) -> Ask {
    let rows = crate::ask::concat(&vec![x; branches.len()]);
    let pictures = usize::try_from(x.size()[0]).expect("a size is not negative");
    Ask {
        model: network.model.clone(),
        stage: Stage::Predict,
        t: vec![t; pictures * branches.len()],
        x: rows,
        cond: (*network.conditions.of(branches)).clone(),
        skip: 0,
        together: false,
        pictures,
        tap: None,
        want: Want::Output,
    }
}

/// Each branch's prediction `[n, C, h, w]`, and the range that a network with twice the channels says; guidance has nothing to
/// add to that, so it is the last branch's.
fn parted(output: &Tensor, branches: usize, channels: i64) -> (Vec<Tensor>, Option<Tensor>) {
    let whole = output.chunk(i64::try_from(branches).expect("few branches"), 0);
    if output.size()[1] == channels {
        return (whole, None);
    }
    let said = whole.last().expect("a branch is asked").narrow(1, channels, channels);
    let predictions = whole.iter().map(|branch| branch.narrow(1, 0, channels)).collect();
    (predictions, Some((said + 1.0) / 2.0))
}
