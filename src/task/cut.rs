use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use tch::{Kind, Tensor};

use super::{Product, finished::finished};
use crate::{ask::Net, error::Result, job::Format, model::Card, pixels::Given};

/// How a run ends before its time: with what it takes its pictures to be by then.
pub struct Cut {
    /// The model.
    pub card: Arc<Card>,
    /// The form of the results.
    pub format: Format,
    /// Indices of the pictures.
    pub pictures: Vec<u32>,
    /// The given picture, where a mask keeps parts of it.
    pub over: Option<Arc<Given>>,
}

impl Cut {
    /// The results of the newest estimates `[n, C, h, w]` of the clean latents, in the order of the pictures.
    pub fn work(self, latents: Tensor, net: Net) -> LocalBoxFuture<'static, Result<Vec<Product>>> {
        Box::pin(async move {
            let made = finished(&self.card, self.format, &net, latents.to_kind(Kind::Float)).await?;
            let product = |(index, made)| Product { index, made, over: self.over.clone() };
            Ok(self.pictures.into_iter().zip(made).map(product).collect())
        })
    }
}
