//! Inversions as files: a safetensors file with the code, the picture as it was inverted, and the request that made it.

use image::RgbImage;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Code, Part, Sizes};
use crate::{
    error::{Failure, Result},
    job::{Inversion, Precision},
    pixels::tensors,
};

/// The key of what is said about the file.
const ABOUT: &str = "darkroom";
/// The tensor of the picture, `[H, W, 3]` of bytes.
const PICTURE: &str = "picture";
/// Bytes of a header that are read at most: two prompts, every option, and a dozen tensors.
const HEADER: u64 = 1 << 20;

/// What an inversion was made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The request, every default filled in.
    pub request: Inversion,
    /// Of the model's files.
    pub model_sha256: String,
}

/// An inversion's file that reads; its tensors are not checked yet.
pub struct InversionFile<'a> {
    /// What it was made with.
    pub about: About,
    tensors: SafeTensors<'a>,
}

impl<'a> InversionFile<'a> {
    /// Reads bytes that may be anything. Nothing is allocated on their word.
    ///
    /// # Errors
    /// What to tell a client about them.
    pub fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let tensors = tensors::open(bytes, HEADER)?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let about = header.metadata().as_ref().and_then(|said| said.get(ABOUT));
        let about = about.and_then(|about| serde_json::from_str(about).ok());
        let about = about.ok_or("is not an inversion: POST /v1/inversions makes one")?;
        Ok(Self { about, tensors })
    }

    /// The picture as it was inverted.
    ///
    /// # Errors
    /// It is missing or not of the request's size.
    pub fn picture(&self) -> Result<RgbImage, String> {
        let Inversion { width, height, .. } = self.about.request;
        let view = self.tensors.tensor(PICTURE).ok().filter(|view| view.dtype() == Dtype::U8);
        let bytes = view.map(|view| view.data().to_vec());
        let picture = bytes.and_then(|bytes| RgbImage::from_raw(width, height, bytes));
        picture
            .filter(|picture| picture.as_raw().len() as u64 == 3 * u64::from(width) * u64::from(height))
            .ok_or_else(|| format!("holds no `{PICTURE}` of {height} x {width} x 3 bytes"))
    }

    /// The code, whose tensors must be these parts of these sizes.
    ///
    /// # Errors
    /// As [`InversionFile::check`].
    pub fn code(&self, parts: &[(&'static str, Part)], sizes: Sizes) -> Result<Code, String> {
        parts.iter().try_fold(Code::default(), |code, (name, part)| {
            let view = self.view(name, *part, sizes)?;
            let shape: Vec<i64> = [1].into_iter().chain(shape(&view)).collect();
            Ok(code.with(name, numbers(&view).view(&shape[..])))
        })
    }

    /// Whether its tensors are these parts of these sizes.
    ///
    /// # Errors
    /// One that is missing, of another shape or type, or not finite.
    pub fn check(&self, parts: &[(&'static str, Part)], sizes: Sizes) -> Result<(), String> {
        for (name, part) in parts {
            let view = self.view(name, *part, sizes)?;
            if !is_finite(&view) {
                return Err(format!("`{name}` holds a number that is not finite"));
            }
        }
        self.picture().map(drop)
    }

    fn view(&self, name: &str, part: Part, sizes: Sizes) -> Result<TensorView<'_>, String> {
        let wanted = match self.about.request.precision {
            Precision::F32 => Dtype::F32,
            Precision::F64 => Dtype::F64,
        };
        let view = self.tensors.tensor(name).map_err(|_| format!("holds no tensor `{name}`"))?;
        let (dtype, shape) = (view.dtype(), shape(&view).collect::<Vec<_>>());
        match dtype == wanted && part.has(&shape, sizes) {
            true => Ok(view),
            false => Err(format!("has `{name}` in {dtype:?} {shape:?}, which is not {part} in {wanted:?}")),
        }
    }
}

fn shape(view: &TensorView) -> impl Iterator<Item = i64> {
    view.shape().iter().map(|size| *size as i64)
}

fn is_finite(view: &TensorView) -> bool {
    match view.dtype() {
        Dtype::F64 => view.data().as_chunks().0.iter().all(|b| f64::from_le_bytes(*b).is_finite()),
        _ => view.data().as_chunks().0.iter().all(|b| f32::from_le_bytes(*b).is_finite()),
    }
}

fn numbers(view: &TensorView) -> Tensor {
    let bytes = view.data();
    match view.dtype() {
        Dtype::F64 => {
            Tensor::from_slice(&bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect::<Vec<_>>())
        }
        _ => Tensor::from_slice(&bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect::<Vec<_>>()),
    }
}

/// The file of a code whose tensors are on the processor; equal codes give equal bytes.
///
/// # Errors
/// A tensor of another type than f32 or f64.
pub fn write(about: &About, picture: &RgbImage, mut code: Vec<(String, Tensor)>) -> Result<Vec<u8>> {
    let size = [i64::from(picture.height()), i64::from(picture.width()), 3];
    code.insert(0, (PICTURE.to_owned(), Tensor::from_slice(picture.as_raw()).view(size)));
    let about = serde_json::to_string(about).map_err(|error| Failure::Internal(error.to_string()))?;
    tensors::write(&code, Some((ABOUT, about)))
}
