use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use super::{Plan, Told};
use crate::{
    ask::{Ask, Conditioning, Net, Stage},
    denoiser::{Conditions, Coordinates, Network},
    error::Result,
    model::Card,
    prompt,
};

/// A model with a request's prompts, and its own degraded picture, as its network takes them.
pub struct Prompted<'a> {
    /// The model.
    pub card: &'a Card,
    /// One row.
    positive: Conditioning,
    /// One row.
    negative: Conditioning,
    /// Between its pictures and the solver's states.
    pub coordinates: Rc<Coordinates>,
}

impl<'a> Prompted<'a> {
    /// Embeds the prompts, or takes the label, for pictures of the plan's shape.
    ///
    /// # Errors
    /// What the network fails with.
    pub async fn new(told: &'a Told, plan: &Plan, net: &Net, device: Device) -> Result<Self> {
        Self::of(told, (plan.shape(), plan.request.clip_skip), net, device).await
    }

    /// The same for latents of a shape, with so many text layers left out.
    ///
    /// # Errors
    /// What the network fails with.
    pub async fn of(told: &'a Told, (shape, skip): ([i64; 3], u32), net: &Net, device: Device) -> Result<Self> {
        let card = &*told.card;
        let mu = card.mu(shape, device).or_else(|| card.unmasked(shape, device));
        let [positive, negative] = said(told, skip, net, device).await?.map(|cond| match &mu {
            Some(mu) => cond.with("concat", mu.shallow_clone()),
            None => cond,
        });
        let coordinates = Rc::new(Coordinates::new(card.process.clone(), mu.filter(|_| !card.inpaints)));
        Ok(Self { card, positive, negative, coordinates })
    }

    /// The same with one more tensor, one row, under both conditions.
    pub fn beside(self, name: &'static str, tensor: &Tensor) -> Self {
        let [positive, negative] = [self.positive, self.negative].map(|cond| cond.with(name, tensor.shallow_clone()));
        Self { positive, negative, ..self }
    }

    /// The network for n pictures.
    pub fn network(&self, n: i64) -> Network {
        let (model, coordinates) = (self.card.id.clone(), self.coordinates.clone());
        Network { model, prediction: self.card.prediction, coordinates, conditions: self.conditions(n) }
    }

    /// What goes along with n rows.
    pub fn conditions(&self, n: i64) -> Conditions {
        let rows = |one: &Conditioning| one.map(|row| row.expand([&[n], &row.size()[1..]].concat(), false));
        Conditions::new(rows(&self.positive), rows(&self.negative))
    }
}

/// What the request says to the network, for and against, in one row each.
async fn said(told: &Told, skip: u32, net: &Net, device: Device) -> Result<[Conditioning; 2]> {
    let Some(prompts) = &told.prompts else {
        let label = |label: i64| Conditioning::none().with("label", Tensor::full([1], label, (Kind::Int64, device)));
        return Ok([told.label.map_or(-1, i64::from), -1].map(label));
    };
    let chunks = prompts.iter().flat_map(|prompt| &prompt.chunks);
    let rows: Vec<_> = chunks.map(|chunk| Tensor::from_slice(&chunk.ids)).collect();
    let x = Tensor::stack(&rows, 0).to_device(device);
    let features = net.ask(question(&told.card, Stage::Embed, x, skip)).await?.output;
    let context = prompt::joined(&features, prompts);
    Ok([0, 1].map(|row| Conditioning::none().with("context", context.narrow(0, row, 1))))
}

/// A question that is none of the denoiser's: it advances no picture.
pub fn question(card: &Card, stage: Stage, x: Tensor, skip: u32) -> Ask {
    Ask { skip, ..Ask::new(card.id.clone(), stage, x) }
}
