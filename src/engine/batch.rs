//! Which asks share a forward: pure functions, no tensors, no clock.

/// An ask that waits for rows of a forward.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Whose it is; handed back in [`Take`].
    pub id: usize,
    /// Rows not yet served.
    pub rows: usize,
    /// Whether all of them must be in one forward.
    pub together: bool,
    /// See [`score`]; the lowest goes first.
    pub score: f64,
    /// When it came; the lowest goes first among equals.
    pub order: u64,
}

/// Rows of one ask in a forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Take {
    /// The candidate's id.
    pub id: usize,
    /// How many of its rows, from the first not yet served.
    pub rows: usize,
}

/// How far back in line a run is: the rows it was served, halved for each second its ask waits and for each point of
/// priority. So the run served least goes first, and nobody waits for ever.
pub fn score(served_rows: u64, waited_s: f64, priority: i32) -> f64 {
    served_rows as f64 * (-(waited_s + f64::from(priority))).exp2()
}

/// Fills a forward of at most `cap` rows, lowest score first.
///
/// An ask that must stay together is taken whole or not at all; where it comes first it is taken even above the cap.
pub fn fill(mut candidates: Vec<Candidate>, cap: usize) -> Vec<Take> {
    candidates.sort_by(|a, b| a.score.total_cmp(&b.score).then(a.order.cmp(&b.order)));
    let mut room = cap.max(1);
    let mut takes = Vec::new();
    for Candidate { id, rows, together, .. } in candidates {
        let fits = if together && (rows <= room || takes.is_empty()) {
            rows
        } else if together {
            0
        } else {
            rows.min(room)
        };
        if fits > 0 {
            takes.push(Take { id, rows: fits });
        }
        room = room.saturating_sub(fits);
        if room == 0 {
            break;
        }
    }
    takes
}

/// Time that each bucket of asks has had, so that the one that had least goes next.
///
/// A bucket that comes back after a rest starts at the least of those that stayed, and so cannot claim the past.
#[derive(Debug)]
pub struct Shares<K> {
    used: Vec<(K, f64)>,
    /// Whether the last one was heavy.
    heavy: bool,
}

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self { used: Vec::new(), heavy: false }
    }
}

impl<K: PartialEq + Clone> Shares<K> {
    /// The bucket that goes next among those that wait now, in the order of their oldest ask. While others wait, at most one
    /// that is `heavy` goes between two that are not.
    pub fn next(&mut self, waiting: &[K], heavy: impl Fn(&K) -> bool) -> Option<K> {
        self.used.retain(|(key, _)| waiting.contains(key));
        let least = self.used.iter().map(|(_, used)| *used).fold(f64::INFINITY, f64::min);
        let least = if least.is_finite() { least } else { 0.0 };
        for key in waiting {
            if !self.used.iter().any(|(known, _)| known == key) {
                self.used.push((key.clone(), least));
            }
        }
        let light = self.heavy && !waiting.iter().all(&heavy);
        let may = self.used.iter().filter(|(key, _)| !(light && heavy(key)));
        let next = may.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(key, _)| key.clone());
        self.heavy = next.as_ref().is_some_and(heavy);
        next
    }

    /// Notes the seconds that a bucket was served.
    pub fn spend(&mut self, key: &K, seconds: f64) {
        if let Some((_, used)) = self.used.iter_mut().find(|(known, _)| known == key) {
            *used += seconds;
        }
    }
}
