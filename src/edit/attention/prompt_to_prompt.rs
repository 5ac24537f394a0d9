use std::cell::RefCell;

use tch::{Device, Tensor};

use super::{
    CrossControl, CrossPlan, Layout, Record, blend,
    layout::{fused, probabilities, weighed},
    token_map::Mix,
};
use crate::{
    ask::{Site, Tap},
    process::share_of,
};

const SOURCE: usize = 0;
const TARGET: usize = 1;

/// The attention control of Prompt-to-Prompt (Hertz et al. 2022, algorithm 1) over the lanes source and target.
///
/// While step k of N is below `floor(cross (N + 1))`, the target's attention to the text is made of the source's as the
/// [`TokenMap`](super::TokenMap) says; while it is below `floor(self N)`, its attention among at most `self_side` squared
/// pixels is the source's. Everything else is the network's own. The maps that count for the blend are those that were used.
pub struct PromptToPrompt {
    control: CrossControl,
    layout: Layout,
    latent: [i64; 2],
    mix: Mix,
    blend: Option<[Vec<usize>; 2]>,
    state: RefCell<State>,
}

struct State {
    step: usize,
    steps: usize,
    record: Record,
}

impl PromptToPrompt {
    /// For the lanes source and target of pictures whose latents are `latent`, `[h, w]`, on a device.
    pub fn new(control: CrossControl, plan: CrossPlan, layout: Layout, latent: [i64; 2], device: Device) -> Self {
        let state = RefCell::new(State { step: 0, steps: 1, record: Record::new(latent) });
        let blend = plan.blend.iter().any(|tokens| !tokens.is_empty()).then_some(plan.blend);
        Self { mix: plan.map.on(device), control, layout, latent, blend, state }
    }

    /// The next evaluation is of step `step` of `steps`, from 0.
    pub fn at(&self, step: usize, steps: usize) {
        let mut state = self.state.borrow_mut();
        (state.step, state.steps) = (step, steps);
    }

    /// That evaluation is done, and its maps count for the blend.
    pub fn settle(&self) {
        self.state.borrow_mut().record.settle();
    }

    /// The target's latents `[n, C, h, w]`: its own where either prompt's blend words are seen, elsewhere the source's. Its
    /// own without blend words, and before a map was seen.
    pub fn blend(&self, source: &Tensor, target: &Tensor) -> Tensor {
        match self.mask() {
            Some(mask) => blend::chosen(Some(&mask), target, source),
            None => target.shallow_clone(),
        }
    }

    /// Where the blend words are seen, `[n, 1, h, w]` (bool).
    pub fn mask(&self) -> Option<Tensor> {
        let state = self.state.borrow();
        let mask = |lane: usize, tokens: &[usize]| {
            blend::summed(&state.record.maps(lane)?, tokens, self.latent, self.control.blend_threshold)
        };
        let [source, target] = self.blend.as_ref()?;
        blend::either(mask(SOURCE, source), mask(TARGET, target))
    }

    fn cross(&self, site: Site, qkv: [&Tensor; 3]) -> Option<Tensor> {
        let mut state = self.state.borrow_mut();
        let edits = state.step < share_of(state.steps + 1, self.control.cross);
        let records = self.blend.is_some() && state.record.wants(qkv[0].size()[2]);
        if !edits && !records {
            return None;
        }
        let [source, own] = [SOURCE, TARGET].map(|lane| {
            let [q, k] = [qkv[0], qkv[1]].map(|x| self.layout.lane(lane, x));
            probabilities(&q, &k)
        });
        let target = if edits { self.mix.of(&source, &own) } else { own };
        let given = edits.then(|| weighed(&target, &self.layout.lane(TARGET, qkv[2])));
        if records {
            state.record.write(site, &[source, target]);
        }
        Some(self.layout.answer(qkv, vec![(TARGET, given?)]))
    }

    fn own(&self, [q, k, v]: [&Tensor; 3]) -> Option<Tensor> {
        let state = self.state.borrow();
        let coarse = q.size()[2] <= i64::from(self.control.self_side).pow(2);
        if !coarse || state.step >= share_of(state.steps, self.control.self_) {
            return None;
        }
        let [queries, keys] = [q, k].map(|x| self.layout.lane(SOURCE, x));
        let given = fused([&queries, &keys, &self.layout.lane(TARGET, v)]);
        Some(self.layout.answer([q, k, v], vec![(TARGET, given)]))
    }
}

impl Tap for PromptToPrompt {
    fn attention(&self, site: Site, qkv: [&Tensor; 3]) -> Option<Tensor> {
        if site.cross { self.cross(site, qkv) } else { self.own(qkv) }
    }
}
