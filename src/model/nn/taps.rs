//! Where runs look into a forward. Each tap is shown rows of its own; for all others the forward is as without it.

use tch::Tensor;

use crate::{
    ask::Site,
    model::batch::{Tapped, cut},
};

/// The taps of a forward, most often none.
#[derive(Clone, Copy, Debug)]
pub struct Taps<'a>(pub &'a [Tapped]);

impl<'a> Taps<'a> {
    /// Shows what a block gives, `[n, c, h, w]`.
    pub fn show(self, block: &str, x: &Tensor) {
        for Tapped { rows, tap } in self.0 {
            tap.feature(block, &cut(x, rows));
        }
    }

    /// A layer of a block.
    pub fn at(self, block: &'a str, layer: usize) -> Spot<'a> {
        Spot { taps: self, site: Site { block, layer, depth: 0, cross: false } }
    }
}

/// A layer of a block with the taps on it, and in a transformer the attention that comes next.
#[derive(Clone, Copy, Debug)]
pub struct Spot<'a> {
    taps: Taps<'a>,
    site: Site<'a>,
}

impl Spot<'_> {
    /// The same layer's block `depth`.
    pub fn depth(self, depth: usize) -> Self {
        Self { site: Site { depth, ..self.site }, ..self }
    }

    /// The same block's attention to the text, or to the pixels.
    pub fn cross(self, cross: bool) -> Self {
        Self { site: Site { cross, ..self.site }, ..self }
    }

    /// Shows what the layer gives, `[n, c, h, w]`.
    pub fn show(self, x: &Tensor) {
        let Site { block, layer, .. } = self.site;
        if !self.taps.0.is_empty() {
            self.taps.show(&format!("{block}.{layer}"), x);
        }
    }

    /// The attention `[n, heads, l, d]` of queries to keys and values `[n, heads, .., d]`, with the rows of each tap that
    /// answers replaced.
    pub fn mixed(self, [q, k, v]: [&Tensor; 3], plain: Tensor) -> Tensor {
        self.taps.0.iter().fold(plain, |mixed, Tapped { rows, tap }| {
            let [q, k, v] = [q, k, v].map(|part| cut(part, rows));
            match tap.attention(self.site, [&q, &k, &v]) {
                Some(own) => mixed.slice_scatter(&own, 0, rows.start, rows.end, 1),
                None => mixed,
            }
        })
    }
}
