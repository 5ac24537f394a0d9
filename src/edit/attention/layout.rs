use tch::{Kind, Tensor};

/// Which rows of a question are the conditional rows of each lane: those that see the lane's prompt. The rest, such as those
/// of the negative prompt, is nobody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pictures: i64,
    first: Vec<i64>,
}

impl Layout {
    /// For n pictures: lane i has the n rows from `first[i]`, picture by picture, so that both `[lane][branch][picture]` and
    /// `[branch][lane][picture]` can be said.
    ///
    /// # Panics
    /// Lanes that share a row.
    pub fn new(pictures: i64, first: &[i64]) -> Self {
        let apart = |(i, a): (usize, &i64)| first[i + 1..].iter().all(|b| a.abs_diff(*b) >= pictures.unsigned_abs());
        assert!(first.iter().enumerate().all(apart), "each row is of one lane");
        Self { pictures, first: first.to_vec() }
    }

    /// The lane's rows `[n, ..]` of all rows.
    pub fn lane(&self, lane: usize, rows: &Tensor) -> Tensor {
        rows.narrow(0, self.first[lane], self.pictures)
    }

    /// What all rows give, `[rows, heads, l, d]`, where that of some lanes is `changed` and the others attend as ever.
    pub fn answer(&self, [q, k, v]: [&Tensor; 3], mut changed: Vec<(usize, Tensor)>) -> Tensor {
        changed.sort_by_key(|(lane, _)| self.first[*lane]);
        let (mut parts, mut row) = (Vec::new(), 0);
        let rest = |from: i64, to: i64| fused([q, k, v].map(|x| x.narrow(0, from, to - from)).each_ref());
        for (lane, given) in changed {
            let first = self.first[lane];
            parts.extend((row < first).then(|| rest(row, first)));
            parts.push(given.to_kind(q.kind()));
            row = first + self.pictures;
        }
        let rows = q.size()[0];
        parts.extend((row < rows).then(|| rest(row, rows)));
        Tensor::cat(&parts, 0)
    }
}

/// `softmax(q k^T / sqrt d) v` as the network computes it.
pub fn fused([q, k, v]: [&Tensor; 3]) -> Tensor {
    Tensor::scaled_dot_product_attention(q, k, v, None::<&Tensor>, 0.0, false, None, false)
}

/// `softmax(q k^T / sqrt d)`, `[n, heads, l, m]`, of queries `[n, heads, l, d]` and keys `[n, heads, m, d]`; in f32 where
/// theirs is narrower.
pub fn probabilities(q: &Tensor, k: &Tensor) -> Tensor {
    let [q, k] = [q, k].map(wide);
    let scale = (q.size()[3] as f64).powf(-0.5);
    (q * scale).matmul(&k.transpose(-2, -1)).softmax(-1, None)
}

/// Values `[n, heads, m, d]` weighted by probabilities `[n, heads, l, m]`.
pub fn weighed(probabilities: &Tensor, v: &Tensor) -> Tensor {
    probabilities.matmul(&wide(v))
}

fn wide(x: &Tensor) -> Tensor {
    match x.kind() {
        Kind::Half | Kind::BFloat16 => x.to_kind(Kind::Float),
        _ => x.shallow_clone(),
    }
}
