use tch::{Device, Kind, Tensor};

use super::Told;
use crate::{
    ask::{Ask, Conditioning, Net, Stage},
    denoiser::{Conditions, Network},
    error::Result,
    job::Generation,
    model::Card,
};

/// A model with a request's prompts as its network takes them.
pub struct Prompted<'a> {
    /// The model.
    pub card: &'a Card,
    /// One row.
    positive: Conditioning,
    /// One row.
    negative: Conditioning,
}

impl<'a> Prompted<'a> {
    /// Embeds the prompts, or takes the label.
    ///
    /// # Errors
    /// What the network fails with.
    pub async fn new(told: &'a Told, request: &Generation, net: &Net, device: Device) -> Result<Self> {
        let card = &*told.card;
        let [positive, negative] = match &told.tokens {
            Some(tokens) => {
                let rows = tokens.each_ref().map(|ids| Tensor::from_slice(ids).unsqueeze(0));
                let x = Tensor::cat(&rows, 0).to_device(device);
                let context = net.ask(question(card, Stage::Embed, x, request.clip_skip)).await?.output;
                [0, 1].map(|row| Conditioning::none().with("context", context.narrow(0, row, 1)))
            }
            None => [request.label.map_or(-1, i64::from), -1]
                .map(|label| Conditioning::none().with("label", Tensor::full([1], label, (Kind::Int64, device)))),
        };
        Ok(Self { card, positive, negative })
    }

    /// The network for n pictures.
    pub fn network(&self, n: i64) -> Network {
        let rows = |one: &Conditioning| one.map(|row| row.expand([&[n], &row.size()[1..]].concat(), false));
        let conditions = Conditions::new(rows(&self.positive), rows(&self.negative));
        Network { model: self.card.id.clone(), prediction: self.card.prediction, conditions }
    }
}

/// A question that is none of the denoiser's: it advances no picture.
pub fn question(card: &Card, stage: Stage, x: Tensor, skip: u32) -> Ask {
    let (model, cond) = (card.id.clone(), Conditioning::none());
    Ask { model, stage, x, t: Vec::new(), cond, skip, together: false, pictures: 0 }
}
