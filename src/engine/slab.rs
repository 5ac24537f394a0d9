//! The runs of one thread: futures that are polled when they are new or their question is answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Instant,
};

use futures_util::{future::LocalBoxFuture, task::noop_waker_ref};
use tch::Tensor;
use uuid::Uuid;

use super::{failure::caught, host::Bucket, previews::Previews, rows::bucket};
use crate::{
    ask::{Answer, Ask, Letter, Net, concat},
    error::Result,
    job::Progress,
    task::{Cut, Product},
};

/// How far a run is, readable from any thread.
#[derive(Debug)]
pub struct Counters {
    /// Network calls for each picture, summed over the pictures.
    pub evaluations: AtomicU64,
    /// Rows of those calls.
    pub rows: AtomicU64,
    /// Microseconds of the device that were for them, as their part of each forward.
    pub device_us: AtomicU64,
    /// How many evaluations there will be; [`UNKNOWN`] where nobody knows.
    pub of: AtomicU64,
    /// Whether it ends before its time, with what it has.
    pub cut: AtomicBool,
}

/// More evaluations than any run has.
pub const UNKNOWN: u64 = u64::MAX;

impl Default for Counters {
    fn default() -> Self {
        Self {
            evaluations: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            device_us: AtomicU64::new(0),
            of: AtomicU64::new(UNKNOWN),
            cut: AtomicBool::new(false),
        }
    }
}

impl Counters {
    /// The part of the work that is done, where its size is known.
    pub fn part(&self) -> Option<f64> {
        let of = self.of.load(Relaxed);
        (of != UNKNOWN && of > 0).then(|| self.evaluations.load(Relaxed) as f64 / of as f64)
    }

    /// The same as clients see it.
    pub fn progress(&self) -> Progress {
        let of = self.of.load(Relaxed);
        Progress { evaluations: self.evaluations.load(Relaxed), of: (of != UNKNOWN).then_some(of) }
    }
}

/// One run.
pub struct Slot {
    /// Whose it is.
    pub job: Uuid,
    /// The attempt it belongs to.
    pub attempt: u32,
    /// Its mailbox.
    pub net: Net,
    /// Itself.
    pub future: LocalBoxFuture<'static, Result<Vec<Product>>>,
    /// Questions that are not answered in full.
    pub waiting: Vec<Waiting>,
    /// How far it is.
    pub counters: Arc<Counters>,
    /// Its evaluations by model and sampler.
    pub metric: prometheus::IntCounter,
    /// -10..10
    pub priority: i32,
    /// When it is due for a preview.
    pub previews: Previews,
    /// How it ends before its time, until it does; `None` for runs that cannot.
    pub cut: Option<Cut>,
    /// Whether it shall.
    pub stopping: bool,
    /// Forwards with rows of it whose finiteness is not known yet.
    pub unchecked: usize,
    /// Its end, once it came.
    pub end: Option<Result<Vec<Product>>>,
    /// Whether to poll it.
    pub ready: bool,
    /// What its log lines stand in.
    pub span: tracing::Span,
}

/// A question with the rows of the answer so far.
pub struct Waiting {
    /// Under which the reply is awaited.
    pub ticket: u64,
    /// The question.
    pub ask: Ask,
    /// What it must agree in with others to share a forward.
    pub bucket: Bucket,
    /// Rows served.
    pub served: usize,
    /// When it came, among all.
    pub order: u64,
    /// When it came, or was served last.
    pub since: Instant,
    answers: Vec<Answer>,
}

impl Waiting {
    /// A question that came just now.
    pub fn new(ticket: u64, ask: Ask, order: u64) -> Self {
        Self { ticket, bucket: bucket(&ask), ask, served: 0, order, since: Instant::now(), answers: Vec::new() }
    }

    /// Rows that still wait.
    pub fn left(&self) -> usize {
        self.ask.rows() - self.served
    }

    /// Adds the answer to the next `rows` rows; the whole answer once it is complete.
    pub fn receive(&mut self, rows: usize, answer: Answer) -> Option<Answer> {
        self.served += rows;
        self.since = Instant::now();
        self.answers.push(answer);
        (self.left() == 0).then(|| joined(std::mem::take(&mut self.answers)))
    }
}

fn joined(mut answers: Vec<Answer>) -> Answer {
    if answers.len() == 1 {
        return answers.remove(0);
    }
    let outputs: Vec<&Tensor> = answers.iter().map(|answer| &answer.output).collect();
    let gradients: Option<Vec<&Tensor>> = answers.iter().map(|answer| answer.gradient.as_ref()).collect();
    Answer { output: concat(&outputs), gradient: gradients.map(|gradients| concat(&gradients)) }
}

impl Slot {
    /// Polls the run, under a net that keeps a panic inside it, and takes the letters it wrote.
    pub fn poll(&mut self) -> Vec<(u64, Letter)> {
        let letters = self.advance();
        if self.stopping && self.end.is_none() && self.cut_short() { self.advance() } else { letters }
    }

    /// Goes on with no more than the newest estimate of every picture, once there is one.
    fn cut_short(&mut self) -> bool {
        let Some(latents) = self.net.take_preview() else { return false };
        let Some(cut) = self.cut.take() else { return false };
        self.waiting.clear();
        self.net = Net::default();
        self.future = cut.work(latents, self.net.clone());
        self.counters.cut.store(true, Relaxed);
        true
    }

    fn advance(&mut self) -> Vec<(u64, Letter)> {
        self.ready = false;
        let _inside = self.span.clone().entered();
        let polled = caught(|| match self.future.as_mut().poll(&mut Context::from_waker(noop_waker_ref())) {
            Poll::Ready(end) => end.map(Some),
            Poll::Pending => Ok(None),
        });
        match polled {
            Ok(None) => self.net.take(),
            Ok(Some(products)) => self.end_with(Ok(products)),
            Err(failure) => self.end_with(Err(failure)),
        }
    }

    /// Ends the run; the first end stands, except that a failure overrules a success not yet told.
    pub fn end_with(&mut self, end: Result<Vec<Product>>) -> Vec<(u64, Letter)> {
        self.waiting.clear();
        if end.is_err() || self.end.is_none() {
            self.end = Some(end);
        }
        Vec::new()
    }
}
