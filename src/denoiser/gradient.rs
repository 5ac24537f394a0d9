use std::rc::Rc;

use tch::Tensor;

use super::{Denoiser, question_of};
use crate::{
    ask::{Ask, Conditioning, Loss, Stage, Want, Wrt},
    error::{Failure, Result},
    process::Level,
};

/// What a network said under one condition, and what would change it.
pub struct Graded {
    /// The noise, `[n, C, h, w]`.
    pub eps: Tensor,
    /// The gradient of each row's loss in the condition.
    pub gradient: Tensor,
}

impl Denoiser {
    /// The latents `[n, C, h, w]` of pixels `[n, 3, H, W]` in -1..1; no evaluation.
    ///
    /// # Errors
    /// What the autoencoder fails with.
    pub async fn encode(&self, pixels: Tensor) -> Result<Tensor> {
        Ok(self.net.ask(Ask::new(self.network.model.clone(), Stage::Encode, pixels)).await?.output)
    }

    /// The noise in the states `x` `[n, C, h, w]` at a level under one condition, one row for each.
    ///
    /// # Errors
    /// What the network fails with.
    pub async fn noise_under(&self, x: &Tensor, level: &Level, cond: Conditioning) -> Result<Tensor> {
        let own = &self.network.coordinates;
        let asked = question_of(&self.network, own.picture(x, level), level.t, cond);
        let output = self.net.ask(Ask { pictures: self.pictures, ..asked }).await?.output;
        Ok(own.read(self.network.prediction, x, &output.narrow(1, 0, x.size()[1]), level).eps)
    }

    /// The noise in the states `x` `[n, C, h, w]` at a level under one condition, one row for each, and the gradient in its
    /// tensor of that name of a loss of that noise, `[n]`.
    ///
    /// # Errors
    /// What the network fails with.
    pub async fn graded(
        &self,
        x: &Tensor,
        level: &Level,
        cond: Conditioning,
        (name, loss): (&'static str, Loss),
    ) -> Result<Graded> {
        let own = &self.network.coordinates;
        let (coordinates, prediction) = (own.clone(), self.network.prediction);
        let (state, at) = (x.shallow_clone(), *level);
        let channels = x.size()[1];
        let of_output =
            move |output: &Tensor| loss(&coordinates.read(prediction, &state, &output.narrow(1, 0, channels), &at).eps);
        let want = Want::Gradient { loss: Rc::new(of_output), wrt: Wrt::Cond(name) };
        let asked = question_of(&self.network, own.picture(x, level), level.t, cond);
        let ask = Ask { pictures: self.pictures, together: true, want, ..asked };
        let answer = self.net.ask(ask).await?;
        let gradient = answer.gradient.ok_or_else(|| Failure::Internal("no gradient was answered".into()))?;
        let output = answer.output.narrow(1, 0, channels);
        Ok(Graded { eps: own.read(prediction, x, &output, level).eps, gradient })
    }
}
