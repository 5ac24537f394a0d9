//! What comes together for one forward.

use std::{fmt, ops::Range, rc::Rc};

use tch::Tensor;

use crate::ask::{Conditioning, Loss, Tap, Wrt};

/// The rows of one forward, already together on the model's device.
#[derive(Debug)]
pub struct Batch {
    /// `[n, ..]`
    pub x: Tensor,
    /// What the network is told about each row's level: `n` numbers for `Predict`, else empty.
    pub t: Vec<f64>,
    /// Named tensors, each `[n, ..]`.
    pub cond: Conditioning,
    /// Text-encoder layers left out at the end (`Embed` only).
    pub skip: u32,
    /// Who looks in, each at rows of its own.
    pub taps: Vec<Tapped>,
}

impl Batch {
    /// Rows `[n, ..]` that nothing goes along with.
    pub fn of(x: Tensor) -> Self {
        Self { x, t: Vec::new(), cond: Conditioning::none(), skip: 0, taps: Vec::new() }
    }
}

/// A tap on some rows of a batch.
#[derive(Clone)]
pub struct Tapped {
    /// The only rows that it sees and changes.
    pub rows: Range<i64>,
    /// What it does.
    pub tap: Rc<dyn Tap>,
}

impl fmt::Debug for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a tap on rows {:?}", self.rows)
    }
}

/// What the gradients of a batch are of, and in what.
pub struct Losses {
    /// In what all of them are taken.
    pub wrt: Wrt,
    /// Rows with their loss. Rows without one count nothing.
    pub of: Vec<(Range<i64>, Loss)>,
}

impl Losses {
    /// The sum over all rows of a result `[n, ..]`, `[]`. A row's gradient is that of its own loss, since no row depends on
    /// another.
    pub fn total(&self, output: &Tensor) -> Tensor {
        let each = self.of.iter().map(|(rows, loss)| loss(&cut(output, rows)).sum(None));
        each.reduce(|total, one| total + one).unwrap_or_else(|| Tensor::from(0.0))
    }
}

/// Those rows of a tensor, as a view.
pub fn cut(tensor: &Tensor, rows: &Range<i64>) -> Tensor {
    tensor.narrow(0, rows.start, rows.end - rows.start)
}
