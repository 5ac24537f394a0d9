//! Named tensors as a safetensors file.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use tch::{Kind, Tensor};

use crate::error::{Failure, Result};

/// A file of tensors on the processor, bytes, f32 or f64, with one thing said about it under a key; equal tensors give equal
/// bytes.
///
/// # Errors
/// A tensor of another type.
pub fn write(tensors: &[(String, Tensor)], about: Option<(&str, String)>) -> Result<Vec<u8>> {
    let data: Vec<(Dtype, Vec<u8>)> = tensors.iter().map(|(_, tensor)| bytes(tensor)).collect::<Result<_>>()?;
    let internal = |error: safetensors::SafeTensorError| Failure::Internal(error.to_string());
    let views = tensors.iter().zip(&data).map(|((name, tensor), (dtype, data))| {
        let shape = tensor.size().iter().map(|size| usize::try_from(*size).unwrap_or(0)).collect();
        Ok((name.clone(), TensorView::new(*dtype, shape, data).map_err(internal)?))
    });
    let views: Vec<_> = views.collect::<Result<_>>()?;
    let about = about.map(|(key, said)| HashMap::from([(key.to_owned(), said)]));
    safetensors::serialize(views, about).map_err(internal)
}

fn bytes(tensor: &Tensor) -> Result<(Dtype, Vec<u8>)> {
    let flat = tensor.reshape([-1]);
    Ok(match tensor.kind() {
        Kind::Uint8 => (Dtype::U8, Vec::<u8>::try_from(flat)?),
        Kind::Float => (Dtype::F32, Vec::<f32>::try_from(flat)?.into_iter().flat_map(f32::to_le_bytes).collect()),
        Kind::Double => (Dtype::F64, Vec::<f64>::try_from(flat)?.into_iter().flat_map(f64::to_le_bytes).collect()),
        kind => return Err(Failure::Internal(format!("{kind:?} is not written to files"))),
    })
}

/// Reads the header of bytes that may be anything, of at most so many bytes. Nothing is allocated on their word.
///
/// # Errors
/// What to tell a client about them.
pub fn open(bytes: &[u8], most: u64) -> Result<SafeTensors<'_>, String> {
    let length = bytes.first_chunk().map(|length| u64::from_le_bytes(*length));
    if !length.is_some_and(|length| length <= most && length <= bytes.len() as u64 - 8) {
        return Err(format!("is not a safetensors file with a header of at most {most} bytes"));
    }
    SafeTensors::deserialize(bytes).map_err(|error| refused(&error))
}

/// The reader's words, cut where they repeat what the file says at length.
fn refused(error: &safetensors::SafeTensorError) -> String {
    format!("is not a safetensors file: {}", error.to_string().chars().take(200).collect::<String>())
}
