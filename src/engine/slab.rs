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

use super::{failure::caught, host::Bucket, rows::bucket};
use crate::{
    ask::{Answer, Ask, Letter, Net, concat},
    error::Result,
    job::Progress,
    model::Card,
    task::{Cut, Product, Task},
};

/// How far a run is, readable from any thread.
#[derive(Debug)]
pub struct Counters {
    /// Network calls for each picture, summed over the pictures.
    pub evaluations: AtomicU64,
    /// Rows of those calls.
    pub rows: AtomicU64,
    /// How many evaluations there will be; [`UNKNOWN`] where nobody knows.
    pub of: AtomicU64,
    /// Whether it ends before its time, with what it has.
    pub cut: AtomicBool,
}

/// More evaluations than any run has.
pub const UNKNOWN: u64 = u64::MAX;

impl Default for Counters {
    fn default() -> Self {
        let (evaluations, rows, of) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(UNKNOWN));
        Self { evaluations, rows, of, cut: AtomicBool::new(false) }
    }
}

impl Counters {
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

/// Which estimates of a run are shown, and of what.
pub struct Previews {
    /// The model.
    pub card: Arc<Card>,
    /// Pixels, width and height.
    pub size: (u32, u32),
    /// Indices of the pictures of the run.
    pub pictures: Vec<u32>,
    every: u64,
    shown: u64,
}

impl Previews {
    /// As the task's request wishes; 0 evaluations between two previews means none.
    pub fn of(task: &Task) -> Self {
        let (size, pictures, every) = match task {
            Task::Pictures(plan) => {
                let request = &plan.request;
                ((request.width, request.height), plan.pictures.clone(), u64::from(request.preview_every))
            }
            Task::Look(look) => ((look.request.width, look.request.height), vec![0], 0),
        };
        Self { card: task.card().clone(), size, pictures, every, shown: 0 }
    }

    /// Whether one is due after so many evaluations of the run.
    pub fn due(&mut self, evaluations: u64) -> bool {
        let each = evaluations / self.pictures.len().max(1) as u64;
        let due = self.every > 0 && each / self.every > self.shown;
        if due {
            self.shown = each / self.every;
        }
        due
    }
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
