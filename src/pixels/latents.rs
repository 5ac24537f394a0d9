//! Latents as safetensors: what a client sends as the initial noise, and what it gets back.

use safetensors::Dtype;
use tch::Tensor;

use super::tensors;
use crate::error::{Fault, Result};

/// Bytes of a header that we read at most: one tensor and some words about it.
const HEADER: u64 = 65536;

/// Reads the one tensor `latents`, f32 of exactly `shape` `[C, h, w]`, from bytes that may be anything. Nothing is allocated
/// on their word.
///
/// # Errors
/// A fault at `/latents` that says what is wrong.
pub fn read(bytes: &[u8], shape: [i64; 3]) -> Result<Vec<f32>, Fault> {
    let fault = |message: String| Fault::new("/latents", message);
    let file = tensors::open(bytes, HEADER).map_err(fault)?;
    let (Ok(latents), 1) = (file.tensor("latents"), file.len()) else {
        return Err(fault("must hold exactly one tensor, `latents`".into()));
    };
    if latents.dtype() != Dtype::F32 || !latents.shape().iter().map(|size| *size as i64).eq(shape) {
        let (dtype, found) = (latents.dtype(), latents.shape());
        return Err(fault(format!("`latents` is {dtype:?} {found:?}; this request needs F32 {shape:?}")));
    }
    let numbers: Vec<f32> = latents.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    match numbers.iter().all(|number| number.is_finite()) {
        true => Ok(numbers),
        false => Err(fault("`latents` holds a number that is not finite".into())),
    }
}

/// Writes latents `[C, h, w]`, row by row, as the one tensor `latents`; equal latents give equal bytes.
///
/// # Errors
/// `latents` that do not have that shape.
pub fn write(latents: &[f32], shape: [i64; 3]) -> Result<Vec<u8>> {
    let tensor = Tensor::from_slice(latents).f_view(shape)?;
    tensors::write(&[("latents".into(), tensor)], None)
}
