//! Noise as a function of (seed, purpose, step, element), not a state: company, restarts and new options cannot shift it.
//!
//! Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") with Box-Muller.

use std::{
    cell::RefCell,
    collections::VecDeque,
    sync::{
        LazyLock,
        mpsc::{Receiver, Sender, channel},
    },
};

use tch::{Device, Kind, Tensor};

mod brownian;

pub use brownian::Path;

/// What a draw is for; each purpose has a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// The start of the path.
    Start = 0,
    /// What a stochastic sampler adds at a step.
    Step = 1,
    /// The places of a Brownian path.
    Path = 2,
    /// What the network sees on a part of the picture that is known.
    Known = 3,
    /// Levels that are made from a clean picture, each by itself.
    Anew = 4,
}

/// The 128 random bits of one counter under one key.
pub fn philox(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let ([mut k0, mut k1], mut c) = (key, counter);
    for _ in 0..10 {
        let (p0, p1) = (u64::from(c[0]) * 0xD251_1F53, u64::from(c[2]) * 0xCD9E_8D57);
        c = [(p1 >> 32) as u32 ^ c[1] ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k1, p0 as u32];
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    c
}

/// `n` standard normals of one picture: element i depends on the seed, the purpose, the step and i alone.
pub fn normals(seed: u64, purpose: Purpose, step: u32, n: usize) -> Vec<f32> {
    stream(seed, [step, purpose as u32, 0], n)
}

/// The normals of one stream: step, purpose, and how often the way was gone before.
fn stream(seed: u64, [step, purpose, pass]: [u32; 3], n: usize) -> Vec<f32> {
    let key = [seed as u32, (seed >> 32) as u32];
    let blocks = u32::try_from(n.div_ceil(4)).expect("a picture has fewer than 2^34 elements");
    let mut normals: Vec<f32> =
        (0..blocks).flat_map(|block| box_muller(philox(key, [block, step, purpose, pass]))).collect();
    normals.truncate(n);
    normals
}

fn box_muller(bits: [u32; 4]) -> [f32; 4] {
    let uniform = |bits: u32| (f64::from(bits) + 0.5) / 4_294_967_296.0;
    let pair = |a: u32, b: u32| {
        let radius = (-2.0 * uniform(a).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * uniform(b)).sin_cos();
        [(radius * cos) as f32, (radius * sin) as f32]
    };
    let ([a, b], [c, d]) = (pair(bits[0], bits[1]), pair(bits[2], bits[3]));
    [a, b, c, d]
}

/// The noise of a run's pictures, row by row.
#[derive(Debug)]
pub struct Noise {
    seeds: Vec<u64>,
    shape: Vec<i64>,
    kind: Kind,
    device: Device,
    pass: u32,
    path: Option<Path>,
    given: Vec<Tensor>,
    ahead: RefCell<VecDeque<(u32, Receiver<Vec<f32>>)>>,
}

/// Steps that are drawn before they are needed.
const AHEAD: u32 = 2;

impl Noise {
    /// Noise `[n, ..shape]` for the pictures with these n seeds.
    pub fn new(seeds: Vec<u64>, shape: &[i64], kind: Kind, device: Device) -> Self {
        let (shape, given, ahead) = (shape.to_vec(), Vec::new(), RefCell::default());
        Self { seeds, shape, kind, device, pass: 0, path: None, given, ahead }
    }

    /// The noise of the same pictures where a way is gone for the `pass`-th time: all of it is other noise.
    pub fn pass(&self, pass: u32) -> Self {
        Self { pass, ..Self::new(self.seeds.clone(), &self.shape, self.kind, self.device) }
    }

    /// From now on step k of a multistep solver adds `terms[k]` `[n, ..shape]` as it is, in the place of scaled noise.
    pub fn give(&mut self, terms: Vec<Tensor>) {
        self.given = terms;
    }

    /// What step k adds in the place of scaled noise, where that was given.
    pub fn given(&self, step: u32) -> Option<Tensor> {
        self.given.get(step as usize).map(Tensor::shallow_clone)
    }

    /// The noise of so many lanes of the same pictures: the same in each, all first ones before all second ones.
    pub fn lanes(&self, lanes: usize) -> Self {
        Self { pass: self.pass, ..Self::new(self.seeds.repeat(lanes), &self.shape, self.kind, self.device) }
    }

    /// The noise on a known part at the k-th evaluation.
    pub fn known(&self, k: u32) -> Tensor {
        self.tensor(&self.draw(Purpose::Known, k))
    }

    /// The noise with which the k-th level of a path is made anew from a clean picture.
    pub fn anew(&self, k: u32) -> Tensor {
        self.tensor(&self.draw(Purpose::Anew, k))
    }

    /// The noise at the start of the path.
    pub fn start(&self) -> Tensor {
        self.tensor(&self.draw(Purpose::Start, 0))
    }

    /// From now on the noise of step k is the increment of one Brownian path for each picture over the k-th interval, from
    /// and to in lambda, divided by its standard deviation. With the share `eta` of fresh noise the path's clock is
    /// `e^(2 eta lambda)`, forwards or, below 0, backwards: then any division of the way gathers the same noise.
    pub fn follow(&mut self, share: f64, intervals: Vec<(f64, f64)>) {
        self.path = Some(Path::new(share, intervals).pass(self.pass));
        self.ahead.borrow_mut().clear();
    }

    /// The noise of a step, counted from 0. The next steps' noise is drawn meanwhile on a thread of its own.
    pub fn step(&self, step: u32) -> Tensor {
        let ready = self.take(step);
        self.request(step);
        self.tensor(&ready.unwrap_or_else(|| self.draw(Purpose::Step, step)))
    }

    fn take(&self, step: u32) -> Option<Vec<f32>> {
        let mut ahead = self.ahead.borrow_mut();
        while ahead.front().is_some_and(|(known, _)| *known < step) {
            ahead.pop_front();
        }
        let (_, receiver) = ahead.pop_front_if(|(known, _)| *known == step)?;
        receiver.recv().ok()
    }

    fn request(&self, step: u32) {
        let mut ahead = self.ahead.borrow_mut();
        let next = ahead.back().map_or(step, |(known, _)| *known) + 1;
        for wanted in next..=step + AHEAD {
            let (sender, receiver) = channel();
            let order = Order { draw: self.drawing(), step: wanted, sender };
            // Without the thread every draw still happens, only later.
            if DRAWER.send(order).is_ok() {
                ahead.push_back((wanted, receiver));
            }
        }
    }

    fn draw(&self, purpose: Purpose, step: u32) -> Vec<f32> {
        self.drawing().rows(purpose, step)
    }

    fn drawing(&self) -> Drawing {
        Drawing { seeds: self.seeds.clone(), n: self.elements(), pass: self.pass, path: self.path.clone() }
    }

    fn elements(&self) -> usize {
        usize::try_from(self.shape.iter().product::<i64>()).expect("sizes are not negative")
    }

    fn tensor(&self, values: &[f32]) -> Tensor {
        let rows = i64::try_from(self.seeds.len()).expect("a run has few rows");
        let size: Vec<i64> = std::iter::once(rows).chain(self.shape.iter().copied()).collect();
        Tensor::from_slice(values).view(&size[..]).to_kind(self.kind).to_device(self.device)
    }
}

/// All that a draw depends on.
struct Drawing {
    seeds: Vec<u64>,
    n: usize,
    pass: u32,
    path: Option<Path>,
}

impl Drawing {
    fn rows(&self, purpose: Purpose, step: u32) -> Vec<f32> {
        self.seeds.iter().flat_map(|seed| self.row(*seed, purpose, step)).collect()
    }

    fn row(&self, seed: u64, purpose: Purpose, step: u32) -> Vec<f32> {
        let path = self.path.as_ref().filter(|_| purpose == Purpose::Step);
        let increment = path.and_then(|path| path.increment(seed, step, self.n));
        increment.unwrap_or_else(|| stream(seed, [step, purpose as u32, self.pass], self.n))
    }
}

struct Order {
    draw: Drawing,
    step: u32,
    sender: Sender<Vec<f32>>,
}

static DRAWER: LazyLock<Sender<Order>> = LazyLock::new(|| {
    let (sender, orders) = channel::<Order>();
    let thread = std::thread::Builder::new().name("noise".into());
    let work = move || {
        for order in orders {
            // A run that ended meanwhile has dropped its receiver.
            let _ = order.sender.send(order.draw.rows(Purpose::Step, order.step));
        }
    };
    drop(thread.spawn(work));
    sender
});
