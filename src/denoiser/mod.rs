//! What a sampler sees of a network: a clean picture and a noise, whatever it predicts and however it is guided.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use tch::Tensor;

use crate::{
    ask::{Ask, Conditioning, Net, Rows, Stage, Tap},
    error::Result,
    guidance::{Branch, Guidance},
    process::{Grid, Level},
};

mod anchor;
mod coordinates;
mod gradient;
mod prediction;
mod stitch;
mod threshold;

pub use anchor::{Anchor, Kept};
pub use coordinates::Coordinates;
pub use gradient::Graded;
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
    pub anchor: Option<Box<dyn Anchor>>,
    /// What looks into the network.
    pub tap: Option<Rc<dyn Tap>>,
    /// The run's levels, from which guidance learns how far it is.
    pub grid: Grid,
    /// States that make one picture together, such as that of its source beside its own; all first ones stand before all
    /// second ones, and the last are the pictures'.
    pub lanes: i64,
    /// Pictures that an evaluation advances.
    pub pictures: usize,
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
    /// From what goes along with the rows of each branch, `[n, ..]`. Where the negative has fewer rows, the first ones of the
    /// positive are not guided: they are asked under their condition alone.
    pub fn new(positive: Conditioning, negative: Conditioning) -> Self {
        Self { positive, negative, together: RefCell::new(None) }
    }

    /// The same behind the rows of others, which are not guided.
    pub fn after(&self, others: &[&Self]) -> Self {
        let front = others.iter().map(|other| &other.positive);
        let positive = Conditioning::concat(&front.chain([&self.positive]).collect::<Vec<_>>());
        Self::new(positive, self.negative.clone())
    }

    /// What goes along with the rows under their own condition.
    pub fn positive(&self) -> &Conditioning {
        &self.positive
    }

    /// What goes along with them under the negative one.
    pub fn negative(&self) -> &Conditioning {
        &self.negative
    }

    /// Rows at the front that are not guided.
    fn unguided(&self) -> i64 {
        self.positive.rows() - self.negative.rows()
    }

    /// Those of the rows that are not guided, and then of the others under each branch.
    fn of(&self, branches: &'static [Branch]) -> Rc<Conditioning> {
        if let Some((known, together)) = &*self.together.borrow()
            && *known == branches
        {
            return together.clone();
        }
        let (front, back) = self.positive.split(self.unguided());
        let guided = branches.iter().map(|branch| match branch {
            Branch::Positive => &back,
            Branch::Negative => &self.negative,
        });
        let parts: Vec<_> = front.iter().chain(guided).collect();
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
        self.net.show(&own.clean(&self.shown(&estimate.x0)), self.rows);
        Ok(estimate)
    }

    /// The lane of the pictures.
    fn shown(&self, x0: &Tensor) -> Tensor {
        let n = x0.size()[0] / self.lanes;
        if self.lanes == 1 { x0.shallow_clone() } else { x0.narrow(0, (self.lanes - 1) * n, n) }
    }

    /// What a network says of its states y at its level `at`; guidance goes by the run's.
    async fn asked(&self, network: &Network, y: &Tensor, at: &Level, level: &Level) -> Result<Estimate> {
        let branches = self.guidance.branches(self.grid.share(level));
        let pictures = network.coordinates.picture(y, at);
        let asked = question(network, &pictures, at.t, branches);
        let ask = Ask { pictures: self.pictures, tap: self.tap.clone(), ..asked };
        let output = self.net.ask(ask).await?.output;
        let Parts { unguided, guided, range } = parted(&output, network.conditions.unguided(), branches, y.size()[1]);
        let mixed = self.guidance.mix(&guided);
        let whole = unguided.map_or_else(|| mixed.shallow_clone(), |front| Tensor::cat(&[&front, &mixed], 0));
        let estimate = network.coordinates.read(network.prediction, y, &whole, at);
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
    let unguided = network.conditions.unguided();
    let (front, back) = split(x, unguided);
    let rows: Vec<_> = front.iter().chain(std::iter::repeat_n(&back, branches.len())).collect();
    question_of(network, crate::ask::concat(&rows), t, (*network.conditions.of(branches)).clone())
}

/// A question about pictures `[n, C, h, w]` at one time, with what goes along with them.
fn question_of(network: &Network, x: Tensor, t: f64, cond: Conditioning) -> Ask {
    let t = vec![t; usize::try_from(x.size()[0]).expect("a size is not negative")];
    Ask { t, cond, ..Ask::new(network.model.clone(), Stage::Predict, x) }
}

/// The answers of a question.
struct Parts {
    /// To the rows that are not guided, where there are any.
    unguided: Option<Tensor>,
    /// To the others, under each branch.
    guided: Vec<Tensor>,
    /// The range that a network with twice the channels says, for all rows.
    range: Option<Tensor>,
}

/// Guidance has nothing to add to a range, so it is the last branch's.
fn parted(output: &Tensor, unguided: i64, branches: &[Branch], channels: i64) -> Parts {
    let (front, back) = split(output, unguided);
    let whole = back.chunk(i64::try_from(branches.len()).expect("few branches"), 0);
    if output.size()[1] == channels {
        return Parts { unguided: front, guided: whole, range: None };
    }
    let prediction = |whole: &Tensor| whole.narrow(1, 0, channels);
    let said: Vec<_> = front.iter().chain(whole.last()).map(|whole| whole.narrow(1, channels, channels)).collect();
    let range = (crate::ask::concat(&said.iter().collect::<Vec<_>>()) + 1.0) / 2.0;
    Parts {
        unguided: front.as_ref().map(prediction),
        guided: whole.iter().map(prediction).collect(),
        range: Some(range),
    }
}

/// The first rows, if any, and the others.
fn split(rows: &Tensor, first: i64) -> (Option<Tensor>, Tensor) {
    match first {
        0 => (None, rows.shallow_clone()),
        _ => (Some(rows.narrow(0, 0, first)), rows.narrow(0, first, rows.size()[0] - first)),
    }
}
