use tch::{Kind, Tensor};

use super::Encoded;

/// A mean below this share of the mean magnitude is none: all that is there has cancelled.
const CANCELLED: f64 = 0.01;

/// One text `[n, C L, D]` for each of n prompts of C chunks, from the features `[n C, L, D]` of their chunks in order.
///
/// # Panics
/// Prompts of unlike numbers of chunks.
pub fn joined(features: &Tensor, prompts: &[Encoded]) -> Tensor {
    let weights = || prompts.iter().flat_map(|prompt| &prompt.chunks).map(|chunk| &chunk.weights[..]);
    let [rows, length, width] = features.size()[..] else { panic!("features are [n C, L, D]") };
    let chunks = rows / i64::try_from(prompts.len()).expect("few prompts");
    let heard = if weights().flatten().all(|weight| *weight == 1.0) {
        features.shallow_clone()
    } else {
        let weights: Vec<_> = weights().flatten().copied().collect();
        let weights = Tensor::from_slice(&weights).view([rows, length]).to_device(features.device());
        emphasised(features, &weights)
    };
    heard.view([-1, chunks * length, width])
}

/// Features `[n, L, D]` of chunks, each token's times its weight of `[n, L]`, and each chunk's as a whole times a number that
/// gives it the mean back that it had (the web UI's `Original` emphasis).
///
/// Where the mean before or after is below 1 % of the mean magnitude, as it is in encoders whose features are centred, that
/// number could be of any size and sign; such a chunk keeps its new mean (the web UI's `No norm`).
pub fn emphasised(features: &Tensor, weights: &Tensor) -> Tensor {
    let weighed = features * weights.to_kind(features.kind()).unsqueeze(-1);
    let [before, after] = [features, &weighed].map(mean);
    let cancelled = cancelled(features, &before).logical_or(&cancelled(&weighed, &after));
    let factor = (before / after).masked_fill(&cancelled, 1.0);
    weighed * factor
}

/// Of each chunk, `[n, 1, 1]`.
fn mean(chunks: &Tensor) -> Tensor {
    chunks.mean_dim([1i64, 2].as_slice(), true, Kind::Float)
}

fn cancelled(chunks: &Tensor, of: &Tensor) -> Tensor {
    of.abs().le_tensor(&(mean(&chunks.abs()) * CANCELLED))
}
