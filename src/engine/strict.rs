//! Strict mode: which row counts give a row the same bits, whatever its company.
//!
//! Libraries choose their kernels by the number of rows, so a row may come out a last bit different in a forward of another
//! size. At one size it depends on neither its place nor its company. Strict forwards therefore have sizes only that were
//! compared on this machine, and are filled up to them.

use tch::Tensor;

use crate::error::Result;

/// Least sizes that are tried, in this order.
const FLOORS: [usize; 4] = [1, 2, 4, 8];
/// Up to this least size strict mode costs a lone guided request nothing, and `auto` turns it on.
const FREE: usize = 2;

/// The sizes `f, 2 f, 4 f ..` up to `max` for the least `f` at which all of them give every row the bits that it has at `f`.
/// Where no `f` does, a single size. `quick` looks no further than the floors that cost nothing.
///
/// `forward` computes that many rows, of which row k is always the same.
///
/// # Errors
/// What a forward fails with.
pub fn verified(max: usize, quick: bool, forward: &mut dyn FnMut(usize) -> Result<Tensor>) -> Result<Vec<usize>> {
    for floor in FLOORS.into_iter().filter(|floor| *floor <= max && (!quick || *floor <= FREE)) {
        let sizes: Vec<usize> =
            std::iter::successors(Some(floor), |size| Some(2 * size)).take_while(|size| *size <= max).collect();
        if agree(&sizes, forward)? {
            return Ok(sizes);
        }
    }
    Ok(vec![FLOORS[FLOORS.len() - 1].min(max)])
}

fn agree(sizes: &[usize], forward: &mut dyn FnMut(usize) -> Result<Tensor>) -> Result<bool> {
    let mut before = forward(sizes[0])?;
    for size in &sizes[1..] {
        let after = forward(*size)?;
        if after.narrow(0, 0, before.size()[0]) != before {
            return Ok(false);
        }
        before = after;
    }
    Ok(true)
}

/// Whether strict mode with these sizes costs a lone guided request nothing and still lets forwards be shared.
pub fn is_free(sizes: &[usize]) -> bool {
    sizes[0] <= FREE && sizes.len() > 1
}

/// The least size that holds `rows`, or `rows` itself above them all.
pub fn above(sizes: &[usize], rows: usize) -> usize {
    sizes.iter().copied().find(|size| *size >= rows).unwrap_or(rows)
}

/// The greatest size of at most `rows`, or the least.
pub fn below(sizes: &[usize], rows: usize) -> usize {
    sizes.iter().copied().rfind(|size| *size <= rows).unwrap_or(sizes[0])
}
