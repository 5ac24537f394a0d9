use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use crate::ask::Site;

/// Cross-attention maps of some lanes, averaged over heads and sites and summed over evaluations.
///
/// Maps are taken at one resolution: the coarsest that the network has, of a latent's own, a half and a quarter of its side,
/// that still has 8 cells along the shorter side. That is 16x16 for latents of 64x64, as in Hertz et al. 2022, and 8x8 for
/// latents of 16x16.
#[derive(Debug)]
pub struct Record {
    latent: [i64; 2],
    queries: i64,
    now: BTreeMap<(String, usize, usize), Vec<Tensor>>,
    sums: Vec<Tensor>,
    evaluations: usize,
}

impl Record {
    /// Coarsest level that counts: a quarter of the side.
    const LEVELS: u32 = 2;
    /// Cells along the shorter side, at least.
    const SIDE: i64 = 8;

    /// For latents `[h, w]`.
    pub fn new(latent: [i64; 2]) -> Self {
        Self { latent, queries: i64::MAX, now: BTreeMap::new(), sums: Vec::new(), evaluations: 0 }
    }

    /// Whether maps of so many queries are worth their computation; not where coarser ones were seen.
    pub fn wants(&self, queries: i64) -> bool {
        queries <= self.queries && self.size(queries).is_some()
    }

    /// The maps `[n, heads, l, m]` of each lane at a site. The same site again overwrites.
    pub fn write(&mut self, site: Site, maps: &[Tensor]) {
        let queries = maps.first().map_or(i64::MAX, |map| map.size()[2]);
        if !self.wants(queries) {
            return;
        }
        if queries < self.queries {
            self.queries = queries;
            self.now.clear();
        }
        let averaged = maps.iter().map(|map| map.mean_dim([1i64].as_slice(), false, Kind::Float)).collect();
        self.now.insert((site.block.to_owned(), site.layer, site.depth), averaged);
    }

    /// The evaluation is done: its maps count.
    pub fn settle(&mut self) {
        let now = std::mem::take(&mut self.now);
        self.evaluations += 1;
        let Some(lanes) = now.values().next().map(Vec::len) else { return };
        let average = |lane: usize| {
            let sites: Vec<_> = now.values().map(|maps| &maps[lane]).collect();
            Tensor::stack(&sites, 0).mean_dim([0i64].as_slice(), false, Kind::Float)
        };
        let newest = (0..lanes).map(average);
        self.sums =
            if self.sums.is_empty() { newest.collect() } else { newest.zip(&self.sums).map(|(a, b)| a + b).collect() };
    }

    /// Evaluations that are done.
    pub fn evaluations(&self) -> usize {
        self.evaluations
    }

    /// The sum of a lane's maps, `[n, m, h, w]`; `None` before the first.
    pub fn maps(&self, lane: usize) -> Option<Tensor> {
        let sum = self.sums.get(lane)?;
        let [h, w] = self.size(self.queries)?;
        Some(sum.transpose(1, 2).reshape([sum.size()[0], -1, h, w]))
    }

    /// Height and width of maps of so many queries, where they are of a resolution that counts.
    fn size(&self, queries: i64) -> Option<[i64; 2]> {
        let shorter = self.latent[0].min(self.latent[1]);
        (0..=Self::LEVELS)
            .filter(|level| *level == 0 || shorter >> level >= Self::SIDE)
            .map(|level| self.latent.map(|side| side >> level))
            .find(|[h, w]| h * w == queries)
    }
}
