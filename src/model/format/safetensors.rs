//! The header of a safetensors file, read as if it came from an enemy.
//!
//! Layout: 8 bytes of little-endian header length, the header (JSON: name to dtype, shape and offsets), the data.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use serde::Deserialize;
use serde_json::{Map, Value};
use tch::{Kind, Tensor};

use crate::error::{Failure, Result};

/// Headers of real files are well below this; the reference implementation has the same bound.
const LONGEST_HEADER: u64 = 100_000_000;

/// One tensor in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Element type.
    pub kind: Kind,
    /// Sizes, none negative; their product times the element size is the length of the data.
    pub shape: Vec<i64>,
    /// First byte and length of the data, counted from the start of the file.
    pub at: (u64, usize),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    dtype: String,
    shape: Vec<i64>,
    data_offsets: (u64, u64),
}

/// Length of the header of a file of `total` bytes that starts with `first`.
///
/// # Errors
/// A length that the file cannot hold, or beyond 100 MB.
pub fn header_length(first: [u8; 8], total: u64) -> Result<u64, String> {
    let length = u64::from_le_bytes(first);
    let room = total.saturating_sub(8);
    if length > LONGEST_HEADER || length > room {
        return Err(format!("its header claims {length} bytes, the file has room for {room}"));
    }
    Ok(length)
}

/// The tensors that a header names, in the order of their data. `total` is the length of the whole file.
///
/// # Errors
/// What is no JSON, an unknown dtype, a negative or overflowing shape, offsets that do not fit the shape, run past the
/// end, overlap or leave holes; the message names the tensor.
pub fn parse(header: &[u8], total: u64) -> Result<Vec<Entry>, String> {
    let fields: Map<String, Value> =
        serde_json::from_slice(header).map_err(|error| format!("its header is not a JSON object: {error}"))?;
    let start = 8 + header.len() as u64;
    let named = fields.into_iter().filter(|(name, _)| name != "__metadata__");
    let mut entries = named.map(|(name, value)| entry(name, value, start, total)).collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| entry.at);
    let mut next = start;
    for Entry { name, at, .. } in &entries {
        if at.0 != next {
            return Err(format!("the data of tensor `{name}` overlaps its neighbour's or leaves a hole before it"));
        }
        next += at.1 as u64;
    }
    if next != total {
        return Err(format!("{} bytes after the last tensor belong to none", total - next));
    }
    Ok(entries)
}

fn entry(name: String, value: Value, start: u64, total: u64) -> Result<Entry, String> {
    let Written { dtype, shape, data_offsets: (begin, end) } =
        serde_json::from_value(value).map_err(|error| format!("tensor `{name}`: {error}"))?;
    let kind = kind(&dtype).ok_or_else(|| format!("tensor `{name}` has unknown dtype `{dtype}`"))?;
    let bytes = shape.iter().try_fold(kind.elt_size_in_bytes() as u64, |product, size| {
        u64::try_from(*size).ok().and_then(|size| product.checked_mul(size))
    });
    let wrong = || format!("tensor `{name}`: shape {shape:?} of {dtype} does not fit offsets [{begin}, {end}]");
    let bytes = bytes.ok_or_else(wrong)?;
    if begin.checked_add(bytes) != Some(end) || end > total.saturating_sub(start) {
        return Err(wrong());
    }
    let length = usize::try_from(bytes).map_err(|_| wrong())?;
    Ok(Entry { kind, at: (start + begin, length), shape, name })
}

fn kind(dtype: &str) -> Option<Kind> {
    Some(match dtype {
        "F64" => Kind::Double,
        "F32" => Kind::Float,
        "F16" => Kind::Half,
        "BF16" => Kind::BFloat16,
        "I64" => Kind::Int64,
        "I32" => Kind::Int,
        "I16" => Kind::Int16,
        "I8" => Kind::Int8,
        "U8" => Kind::Uint8,
        "BOOL" => Kind::Bool,
        _ => return None,
    })
}

/// The tensors in a safetensors document held in memory, such as what a client sent.
///
/// # Errors
/// As [`header_length`] and [`parse`].
pub fn from_bytes(bytes: &[u8]) -> Result<Vec<(String, Tensor)>, String> {
    let total = bytes.len() as u64;
    let first = bytes.first_chunk::<8>().ok_or("it is shorter than 8 bytes")?;
    let length = usize::try_from(header_length(*first, total)?).expect("at most 100 MB");
    let tensor = |entry: &Entry| {
        let start = usize::try_from(entry.at.0).expect("inside the document");
        Tensor::from_data_size(&bytes[start..start + entry.at.1], &entry.shape, entry.kind)
    };
    Ok(parse(&bytes[8..8 + length], total)?.into_iter().map(|entry| (entry.name.clone(), tensor(&entry))).collect())
}

/// An open safetensors file.
#[derive(Debug)]
pub struct Safetensors {
    file: File,
    /// Its tensors, in the order of their data.
    pub entries: Vec<Entry>,
}

impl Safetensors {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// A missing or unreadable file, or a broken header; the message names the file.
    pub fn open(path: &Path) -> Result<Self> {
        let said = |why: String| Failure::Internal(format!("{}: {why}", path.display()));
        let read = |at: u64, length: usize, file: &File| {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, at).map(|()| bytes).map_err(|error| said(error.to_string()))
        };
        let file = File::open(path).map_err(|error| said(error.to_string()))?;
        let total = file.metadata().map_err(|error| said(error.to_string()))?.len();
        if total < 8 {
            return Err(said("it is shorter than 8 bytes".into()));
        }
        let first = read(0, 8, &file)?.try_into().expect("8 bytes were read");
        let length = usize::try_from(header_length(first, total).map_err(said)?).expect("at most 100 MB");
        let entries = parse(&read(8, length, &file)?, total).map_err(said)?;
        Ok(Self { file, entries })
    }

    /// Reads one tensor, and nothing else, onto the processor in its own kind.
    ///
    /// # Errors
    /// An I/O error; the message names the tensor.
    pub fn read(&self, entry: &Entry) -> Result<Tensor> {
        let mut bytes = vec![0; entry.at.1];
        let read = self.file.read_exact_at(&mut bytes, entry.at.0);
        read.map_err(|error| Failure::Internal(format!("tensor `{}`: {error}", entry.name)))?;
        Ok(Tensor::f_from_data_size(&bytes, &entry.shape, entry.kind)?)
    }
}
