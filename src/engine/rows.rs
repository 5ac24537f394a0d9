//! Rows of asks as tensors: put together for a forward, and taken apart again.

use std::ops::Range;

use tch::{Device, Tensor};

use super::{failure::Piece, host::Bucket};
use crate::{
    ask::{Answer, Ask, Conditioning, Want, concat},
    model::{Batch, Losses, Tapped},
};

/// What an ask must agree in with others to share a forward.
pub fn bucket(ask: &Ask) -> Bucket {
    let trailing = |tensor: &Tensor| tensor.size()[1..].to_vec();
    Bucket {
        model: ask.model.clone(),
        stage: ask.stage,
        skip: ask.skip,
        wrt: ask.want.wrt(),
        x: (ask.x.kind(), trailing(&ask.x)),
        cond: ask.cond.iter().map(|(name, tensor)| (name, tensor.kind(), trailing(tensor))).collect(),
    }
}

/// The pieces of asks as one batch; a whole ask alone is shared, not copied.
pub fn gathered(asks: &[(&Ask, &Piece)]) -> Batch {
    let cut = |tensor: &Tensor, piece: &Piece| {
        let (from, rows) = (piece.from as i64, piece.rows as i64);
        if rows == tensor.size()[0] { tensor.shallow_clone() } else { tensor.narrow(0, from, rows) }
    };
    let x: Vec<Tensor> = asks.iter().map(|(ask, piece)| cut(&ask.x, piece)).collect();
    let cond: Vec<Conditioning> = asks.iter().map(|(ask, piece)| ask.cond.map(|tensor| cut(tensor, piece))).collect();
    let times = asks.iter().filter(|(ask, _)| !ask.t.is_empty());
    let t = times.flat_map(|(ask, piece)| ask.t[piece.from..piece.from + piece.rows].iter().copied()).collect();
    let tapped = asks.iter().zip(ranges(asks)).filter_map(|((ask, _), rows)| Some((rows, ask.tap.clone()?)));
    Batch {
        x: concat(&x.iter().collect::<Vec<_>>()),
        t,
        cond: Conditioning::concat(&cond.iter().collect::<Vec<_>>()),
        skip: asks[0].0.skip,
        taps: tapped.map(|(rows, tap)| Tapped { rows, tap }).collect(),
    }
}

/// The losses of the asks, which are of one bucket, where it is one of gradients.
pub fn losses(asks: &[(&Ask, &Piece)]) -> Option<Losses> {
    let wrt = asks[0].0.want.wrt()?;
    let loss = |((ask, _), rows): (&(&Ask, &Piece), Range<i64>)| match &ask.want {
        Want::Output => None,
        Want::Gradient { loss, .. } => Some((rows, loss.clone())),
    };
    Some(Losses { wrt, of: asks.iter().zip(ranges(asks)).filter_map(loss).collect() })
}

/// The rows of the batch that each piece has.
fn ranges(asks: &[(&Ask, &Piece)]) -> Vec<Range<i64>> {
    let mut end = 0;
    let mut next = |rows: usize| {
        let start = end;
        end += rows as i64;
        start..end
    };
    asks.iter().map(|(_, piece)| next(piece.rows)).collect()
}

/// The answer's rows, piece by piece: views, which their receivers must not keep.
pub fn parted(answer: &Answer, pieces: &[Piece]) -> Vec<Answer> {
    if pieces.len() == 1 {
        return vec![each(answer, Tensor::shallow_clone)];
    }
    let mut from = 0;
    let mut part = |rows: usize| {
        let part = each(answer, |tensor| tensor.narrow(0, from, rows as i64));
        from += rows as i64;
        part
    };
    pieces.iter().map(|piece| part(piece.rows)).collect()
}

/// Output and gradient passed through `f`.
pub fn each(answer: &Answer, f: impl Fn(&Tensor) -> Tensor) -> Answer {
    Answer { output: f(&answer.output), gradient: answer.gradient.as_ref().map(f) }
}

/// For each row whether all of it, and of its gradient, is finite, `[n]`: the greatest magnitude of a row is, exactly then.
pub fn finite(answer: &Answer) -> Tensor {
    let rows = |tensor: &Tensor| tensor.reshape([tensor.size()[0], -1]).abs().amax([1i64].as_slice(), false).isfinite();
    let output = rows(&answer.output);
    match &answer.gradient {
        Some(gradient) => output.logical_and(&rows(gradient)),
        None => output,
    }
}

/// The tensors on the processor, in one copy where there are several small ones of one type.
pub fn brought(tensors: &[&Tensor]) -> Vec<Tensor> {
    let kind = tensors[0].kind();
    if tensors.len() == 1 || tensors[0].device() == Device::Cpu || tensors.iter().any(|tensor| tensor.kind() != kind) {
        return tensors.iter().map(|tensor| tensor.to_device(Device::Cpu)).collect();
    }
    let flat: Vec<Tensor> = tensors.iter().map(|tensor| tensor.reshape([-1])).collect();
    let sizes: Vec<i64> = flat.iter().map(|tensor| tensor.size()[0]).collect();
    let all = Tensor::cat(&flat, 0).to_device(Device::Cpu);
    let parts = all.split_with_sizes(&sizes[..], 0);
    parts.iter().zip(tensors).map(|(part, tensor)| part.reshape(&tensor.size()[..])).collect()
}
