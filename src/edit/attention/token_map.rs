use tch::{Device, Kind, Tensor};

use super::{Prompt, align};

/// How the target's attention to its L tokens follows from the source's to theirs:
///
/// `A'[.., n] = c_n (sum_w A_source[.., w] M[w, n] + (1 - a_n) A_target[.., n])`
///
/// (Hertz et al. 2022, section 3.2, in one form for all three edits.)
#[derive(Clone, Debug, PartialEq)]
pub struct TokenMap {
    /// The entries of M that are not zero: source token, target token, share.
    pub shares: Vec<(usize, usize, f64)>,
    /// a_n: 1 where the source says the attention, 0 where it stays the target's own.
    pub taken: Vec<f64>,
    /// c_n.
    pub scale: Vec<f64>,
}

impl TokenMap {
    /// Words swapped for words, one for one. A word of as many tokens gives them one by one; else each of its tokens is
    /// shared out evenly among the m tokens of the other, 1/m each. What follows moves along with its words, so that rows of
    /// M sum to 1 (the released code leaves it in place behind the last swap, and sums to less).
    ///
    /// # Errors
    /// Another number of words on the other side, in words for people.
    pub fn replace(source: &Prompt, target: &Prompt) -> Result<Self, String> {
        let words = [source.words().len(), target.words().len()];
        if words[0] != words[1] {
            return Err(format!(
                "replace swaps words one for one, but the source prompt has {} words and the prompt has {}; refine takes any",
                words[0], words[1]
            ));
        }
        let mut shares = vec![(0, 0, 1.0)];
        for (from, to) in source.words().iter().zip(target.words()) {
            if from.len() == to.len() {
                shares.extend(from.clone().zip(to.clone()).map(|(w, n)| (w, n, 1.0)));
            } else {
                let share = 1.0 / to.len() as f64;
                shares.extend(from.clone().flat_map(|w| to.clone().map(move |n| (w, n, share))));
            }
        }
        shares.extend((source.end()..source.length()).map(|w| (w, behind(w, source, target), 1.0)));
        Ok(Self::of(shares, vec![1.0; target.length()]))
    }

    /// Tokens that both prompts have are aligned (see [`align()`]) and take the source's attention; the others keep their
    /// own. Padding is aligned to padding.
    pub fn refine(source: &Prompt, target: &Prompt) -> Self {
        let text = align(source.text(), target.text());
        let padding = (target.end() + 1..target.length()).map(|n| Some(behind(n, target, source)));
        let aligned: Vec<_> = text.into_iter().chain(padding).collect();
        let shares = aligned.iter().enumerate().filter_map(|(n, w)| w.map(|w| (w, n, 1.0))).collect();
        Self::of(shares, aligned.iter().map(|w| f64::from(u8::from(w.is_some()))).collect())
    }

    /// Every token takes the source's attention to the same token.
    ///
    /// # Errors
    /// Prompts that differ, in words for people.
    pub fn same(source: &Prompt, target: &Prompt) -> Result<Self, String> {
        if source != target {
            return Err(
                "reweight alone needs a prompt equal to the source prompt; replace and refine take weights too".into(),
            );
        }
        Ok(Self::of((0..source.length()).map(|w| (w, w, 1.0)).collect(), vec![1.0; source.length()]))
    }

    /// [`TokenMap::replace`] where both prompts have as many words, else [`TokenMap::refine`].
    pub fn auto(source: &Prompt, target: &Prompt) -> Self {
        Self::replace(source, target).unwrap_or_else(|_| Self::refine(source, target))
    }

    /// The same with the attention to these target tokens multiplied by `weight`.
    pub fn weighted(mut self, tokens: &[usize], weight: f64) -> Self {
        for n in tokens {
            self.scale[*n] *= weight;
        }
        self
    }

    /// On a device.
    pub fn on(&self, device: Device) -> Mix {
        let length = self.taken.len();
        let mut from = vec![0.0; length * length];
        for (w, n, share) in &self.shares {
            from[w * length + n] += share * self.scale[*n];
        }
        let own: Vec<_> = self.taken.iter().zip(&self.scale).map(|(taken, scale)| (1.0 - taken) * scale).collect();
        let side = i64::try_from(length).expect("a prompt is short");
        let tensor = |numbers: &[f64]| Tensor::from_slice(numbers).to_kind(Kind::Float).to_device(device);
        Mix { from: tensor(&from).view([side, side]), own: tensor(&own) }
    }

    /// On the device of the text features `[1, L, D]` of source and target, where besides each target token up to the end
    /// that has no counterpart takes the attention to the source token without one whose features are most like its own (Xu
    /// et al. 2023, section 4.2): the largest cosine.
    pub fn paired(&self, features: [&Tensor; 2], ends: [usize; 2]) -> Mix {
        let device = features[0].device();
        let Mix { from, own } = self.on(device);
        let given = |w: usize| self.shares.iter().any(|share| share.0 == w);
        let loose_source: Vec<_> = (0..self.taken.len()).map(|w| w <= ends[0] && !given(w)).collect();
        let loose_target: Vec<_> = self.taken.iter().enumerate().map(|(n, a)| n <= ends[1] && *a == 0.0).collect();
        if !loose_source.contains(&true) {
            return Mix { from, own };
        }
        let [loose_source, loose_target] =
            [loose_source, loose_target].map(|loose| Tensor::from_slice(&loose).to_device(device));
        let nearest = nearest(features, &loose_source);
        let sources = Tensor::arange(nearest.size()[0], (Kind::Int64, device)).unsqueeze(1);
        let pairs = sources.eq_tensor(&nearest.unsqueeze(0)).logical_and(&loose_target);
        Mix { from: from + pairs.to_kind(Kind::Float), own: own * loose_target.logical_not() }
    }

    fn of(shares: Vec<(usize, usize, f64)>, taken: Vec<f64>) -> Self {
        let scale = vec![1.0; taken.len()];
        Self { shares, taken, scale }
    }
}

/// The token of `to` that stands as far behind its end token as token i of `from` behind its own, or the last.
fn behind(i: usize, from: &Prompt, to: &Prompt) -> usize {
    (i - from.end() + to.end()).min(to.length() - 1)
}

/// For each target token the allowed source token of the most similar features, `[L]`.
fn nearest(features: [&Tensor; 2], allowed: &Tensor) -> Tensor {
    let [source, target] = features.map(|x| {
        let x = x.squeeze_dim(0).to_kind(Kind::Float);
        let length = x.norm_scalaropt_dim(2, [-1], true).clamp_min(1e-12);
        x / length
    });
    let alike = source.matmul(&target.transpose(0, 1));
    alike.masked_fill(&allowed.logical_not().unsqueeze(1), f64::NEG_INFINITY).argmax(0, false)
}

/// A [`TokenMap`] on a device.
#[derive(Debug)]
pub struct Mix {
    from: Tensor,
    own: Tensor,
}

impl Mix {
    /// The attention `[.., L]` of the target, from the source's and its own.
    pub fn of(&self, source: &Tensor, target: &Tensor) -> Tensor {
        let kind = source.kind();
        source.matmul(&self.from.to_kind(kind)) + target * self.own.to_kind(kind)
    }
}
