//! What one request may cost. Each limit is a configuration key, and its refusal states the computed number.

use std::collections::BTreeMap;

use crate::{config::Limits, error::Fault, model::Card};

/// The greatest seed, 2^53 - 1: the largest integer that every JSON reader keeps exactly.
pub const LAST_SEED: u64 = (1 << 53) - 1;

/// Bytes of a metadata key.
const KEY_BYTES: usize = 64;

/// Bytes of a metadata value.
const VALUE_BYTES: usize = 512;

/// What a job costs the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Network calls for each picture.
    pub evaluations: u64,
    /// Rows of one call: all pictures, guidance included.
    pub rows: u32,
    /// Evaluations times rows, in units of the model's native size.
    pub work: u64,
}

impl Cost {
    /// Of so many calls of so many rows at a size.
    pub fn of((evaluations, rows): (u64, u32), card: &Card, (width, height): (u32, u32)) -> Self {
        let native = u128::from(card.native().0) * u128::from(card.native().1);
        let calls = u128::from(evaluations) * u128::from(rows);
        let work = (calls * u128::from(width) * u128::from(height)).div_ceil(native.max(1));
        Self { evaluations, rows, work: u64::try_from(work).unwrap_or(u64::MAX) }
    }
}

impl Limits {
    /// The prompt at `pointer` is not too long.
    pub fn prompt(&self, pointer: &str, prompt: &str) -> Option<Fault> {
        let (bytes, most) = (prompt.len(), self.prompt_bytes);
        (bytes > most).then(|| Fault::new(pointer, format!("has {bytes} bytes; limits.prompt_bytes allows {most}")))
    }

    /// A picture is not too large.
    pub fn picture(&self, width: u32, height: u32) -> Option<Fault> {
        let (pixels, most) = (u64::from(width) * u64::from(height), self.pixels);
        let message = || format!("{width} x {height} are {pixels} pixels; limits.pixels allows {most}");
        (pixels > most).then(|| Fault::new("/width", message()))
    }

    /// The whole job is not too much work.
    pub fn work(&self, cost: Cost) -> Option<Fault> {
        let most = self.row_evaluations;
        let Cost { evaluations, rows, work } = cost;
        let message = || {
            format!(
                "{evaluations} evaluations of {rows} rows at this size are {work} row evaluations of the native size; \
                 limits.row_evaluations allows {most}"
            )
        };
        (work > most).then(|| Fault::new("/steps", message()))
    }
}

/// Metadata keys and values that are too long.
pub fn metadata(metadata: &BTreeMap<String, String>) -> Vec<Fault> {
    let long = |(key, value): (&String, &String)| {
        let message = match (key.len(), value.len()) {
            (bytes, _) if bytes > KEY_BYTES => format!("the key has {bytes} bytes; {KEY_BYTES} are allowed"),
            (_, bytes) if bytes > VALUE_BYTES => format!("the value has {bytes} bytes; {VALUE_BYTES} are allowed"),
            _ => return None,
        };
        Some(Fault::new(format!("/metadata/{}", key.replace('~', "~0").replace('/', "~1")), message))
    };
    metadata.iter().filter_map(long).collect()
}

/// The last picture's seed is still a seed.
pub fn seeds(seed: u64, count: u32) -> Option<Fault> {
    let last = u128::from(seed) + u128::from(count.max(1)) - 1;
    let message = || format!("the last picture's seed would be {last}; the greatest is {LAST_SEED}");
    (last > u128::from(LAST_SEED)).then(|| Fault::new("/seed", message()))
}
