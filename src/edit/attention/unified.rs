use std::cell::RefCell;

use tch::Tensor;

use super::{
    Layout, Record, UnifiedControl, UnifiedPlan, blend,
    layout::{fused, probabilities, weighed},
    token_map::Mix,
};
use crate::ask::{Site, Tap};

const SOURCE: usize = 0;
const TARGET: usize = 1;
const LAYOUT: usize = 2;

/// Unified attention control (Xu et al. 2023, section 4.2) over the lanes source, target and layout; the third has the
/// source's prompt, and lends the target its place where the picture may not change.
///
/// At progress u: up to `cross_replace` the target's attention to the text is the source's where their tokens are aligned.
/// Below `self_replace` all lanes attend among their pixels as the source does, the layout lane to the source's pixels;
/// afterwards the layout lane's queries are the target's, its keys and values the source's.
pub struct Unified {
    control: UnifiedControl,
    plan: UnifiedPlan,
    layout: Layout,
    latent: [i64; 2],
    mix: Mix,
    state: RefCell<State>,
}

struct State {
    progress: f64,
    record: Record,
}

impl Unified {
    /// For the lanes source, target and layout of pictures whose latents are `latent`, `[h, w]`; `features` are the texts'
    /// `[1, L, D]` of source and target.
    pub fn new(
        control: UnifiedControl,
        plan: UnifiedPlan,
        layout: Layout,
        latent: [i64; 2],
        features: [&Tensor; 2],
    ) -> Self {
        let mix = plan.map.paired(features, plan.ends);
        let state = RefCell::new(State { progress: 0.0, record: Record::new(latent) });
        Self { control, plan, layout, latent, mix, state }
    }

    /// The next evaluation is of step `step` of `steps`, from 0; steps that a strength leaves out count as made.
    pub fn at(&self, step: usize, steps: usize) {
        self.state.borrow_mut().progress = (step + 1) as f64 / steps as f64;
    }

    /// That evaluation is done, and its maps count for the blend.
    pub fn settle(&self) {
        self.state.borrow_mut().record.settle();
    }

    /// The target's latents `[n, C, h, w]` from those of source, target and layout, where the signal's factor is `alpha`:
    /// the source's at kept words; else its own at target words and the layout's elsewhere, or its own everywhere without
    /// target words. What is below `max(threshold_target, 0.15 / alpha)` of the strongest is no target word. In the last
    /// step, words that are both take the layout's. In the first evaluation, and before a map was seen, its own.
    pub fn blend(&self, [source, target, layout]: [&Tensor; 3], alpha: f64) -> Tensor {
        let state = self.state.borrow();
        let maps = (state.record.maps(0), state.record.maps(1));
        let (Some(of_source), Some(of_layout)) = maps else { return target.shallow_clone() };
        if state.record.evaluations() < 2 {
            return target.shallow_clone();
        }
        let UnifiedControl { threshold_target, threshold_keep, .. } = self.control;
        let mask = |maps: &Tensor, tokens: &[usize], threshold| blend::largest(maps, tokens, self.latent, threshold);
        let edited = match mask(&of_layout, &self.plan.edited, threshold_target.max(0.15 / alpha)) {
            Some(edited) => blend::chosen(Some(&edited), target, layout),
            None => target.shallow_clone(),
        };
        let kept = mask(&of_source, &self.plan.kept, threshold_keep);
        let blended = blend::chosen(kept.as_ref(), source, &edited);
        let both = (state.progress >= 1.0).then(|| mask(&of_layout, &self.plan.both, threshold_target)).flatten();
        blend::chosen(both.as_ref(), layout, &blended)
    }

    fn cross(&self, site: Site, qkv: [&Tensor; 3]) -> Option<Tensor> {
        let mut state = self.state.borrow_mut();
        let edits = state.progress <= self.control.cross_replace;
        let records = self.blends() && state.record.wants(qkv[0].size()[2]);
        if !edits && !records {
            return None;
        }
        let maps = |lane| {
            let [q, k] = [qkv[0], qkv[1]].map(|x| self.layout.lane(lane, x));
            probabilities(&q, &k)
        };
        let (source, target) = (maps(SOURCE), maps(TARGET));
        let given = edits.then(|| weighed(&self.mix.of(&source, &target), &self.layout.lane(TARGET, qkv[2])));
        if records {
            let layout = self.mix.of(&maps(LAYOUT), &target);
            state.record.write(site, &[source, layout]);
        }
        Some(self.layout.answer(qkv, vec![(TARGET, given?)]))
    }

    fn own(&self, qkv: [&Tensor; 3]) -> Tensor {
        let [q, k, v] = qkv;
        let attended = |lanes: [usize; 3]| {
            let [q, k, v] = [(0, q), (1, k), (2, v)].map(|(i, x)| self.layout.lane(lanes[i], x));
            fused([&q, &k, &v])
        };
        let changed = if self.state.borrow().progress < self.control.self_replace {
            vec![(TARGET, attended([SOURCE, SOURCE, TARGET])), (LAYOUT, attended([SOURCE, SOURCE, SOURCE]))]
        } else {
            vec![(LAYOUT, attended([TARGET, SOURCE, SOURCE]))]
        };
        self.layout.answer(qkv, changed)
    }

    /// Whether a mask is ever made.
    fn blends(&self) -> bool {
        !self.plan.edited.is_empty() || !self.plan.kept.is_empty() || !self.plan.both.is_empty()
    }
}

impl Tap for Unified {
    fn attention(&self, site: Site, qkv: [&Tensor; 3]) -> Option<Tensor> {
        if site.cross { self.cross(site, qkv) } else { Some(self.own(qkv)) }
    }
}
