//! The one question a run can put to a network, and the handle through which it asks.
//!
//! A run is a future whose only await is [`Net`]. Asking puts the question into the run's mailbox; the engine thread
//! collects the questions of all runs, lets those that agree share a forward, puts the answers back and polls again.

use std::{cell::RefCell, collections::BTreeMap, fmt, future::poll_fn, rc::Rc, sync::Arc, task::Poll};

use tch::Tensor;

use crate::error::{Failure, Result};

/// What a model is asked to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Token ids `[n, L]` (int64) to text features `[n, L, D]`.
    Embed,
    /// Latents `[n, C, h, w]` at times `t` to the network's raw output `[n, C, h, w]`.
    Predict,
    /// Latents `[n, C, h, w]` to pixels `[n, 3, H, W]` in -1..1.
    Decode,
    /// Pixels `[n, 3, H, W]` in -1..1 to latents `[n, C, h, w]` (the mode).
    Encode,
}

impl Stage {
    /// Every stage, in the order in which a job meets them.
    pub const ALL: [Self; 4] = [Self::Embed, Self::Predict, Self::Decode, Self::Encode];

    /// The stage's name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::Predict => "predict",
            Self::Decode => "decode",
            Self::Encode => "encode",
        }
    }
}

/// Named tensors, each `[n, ..]`, that go along with the rows: `context`, `label`, `pooled`, `concat` ...
#[derive(Debug, Default)]
pub struct Conditioning(BTreeMap<&'static str, Tensor>);

impl Conditioning {
    /// No conditioning.
    pub fn none() -> Self {
        Self::default()
    }

    /// The same with one more tensor, `[n, ..]`.
    pub fn with(mut self, name: &'static str, tensor: Tensor) -> Self {
        self.0.insert(name, tensor);
        self
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    /// Names and tensors, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (*name, tensor))
    }

    /// Every tensor passed through `f`.
    pub fn map(&self, f: impl Fn(&Tensor) -> Tensor) -> Self {
        Self(self.0.iter().map(|(name, tensor)| (*name, f(tensor))).collect())
    }

    /// Its rows; none where it has no names.
    pub fn rows(&self) -> i64 {
        self.0.values().next().map_or(0, |tensor| tensor.size()[0])
    }

    /// The first rows, if any, and the others.
    pub fn split(&self, first: i64) -> (Option<Self>, Self) {
        let cut = |from: i64, rows: i64| self.map(|tensor| tensor.narrow(0, from, rows));
        match first {
            0 => (None, self.clone()),
            _ => (Some(cut(0, first)), cut(first, self.rows() - first)),
        }
    }

    /// The rows of all parts, one part after the other; all parts have the same names.
    pub fn concat(parts: &[&Self]) -> Self {
        let Some(first) = parts.first() else { return Self::none() };
        let names = first.0.keys().copied();
        Self(names.map(|name| (name, concat(&parts.iter().map(|part| &part.0[name]).collect::<Vec<_>>()))).collect())
    }
}

impl Clone for Conditioning {
    /// Shares the storage: tensors here are never written to.
    fn clone(&self) -> Self {
        self.map(Tensor::shallow_clone)
    }
}

/// The rows of all parts, one part after the other; a single part is shared, not copied.
pub fn concat(parts: &[&Tensor]) -> Tensor {
    match parts {
        [one] => one.shallow_clone(),
        many => Tensor::cat(many, 0),
    }
}

/// Where in a network an attention is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Site<'a> {
    /// The block, as its weights are called: `down_blocks.0`, `mid_block`, `up_blocks.1`.
    pub block: &'a str,
    /// Which of the block's transformers.
    pub layer: usize,
    /// Which of that transformer's blocks.
    pub depth: usize,
    /// Whether the text is attended to; else the pixels themselves.
    pub cross: bool,
}

/// What a run does inside a forward of its rows. The network calls it for those rows alone, layer by layer, whatever shares
/// the forward; after a failed forward it is called again for the same rows, from the first layer on. A model without
/// attention, such as the exact one, never calls it.
///
/// Tensors are the network's own and in its number type (f32 where the network computes its attention so): they must not be
/// written to. Where a gradient is wanted too they are of its graph, so that a loss may be one of what a tap has seen.
pub trait Tap {
    /// The attention of queries q `[n, heads, l, d]` to keys k and values v, `[n, heads, m, d]` both, in the place of the
    /// network's own `softmax(q k^T / sqrt d) v`, `[n, heads, l, d]`; `None` leaves that as it is.
    fn attention(&self, site: Site, [q, k, v]: [&Tensor; 3]) -> Option<Tensor> {
        let _ = (site, q, k, v);
        None
    }

    /// What a block gives, `[n, c, h, w]`: each of `down_blocks.0`, `mid_block`, `up_blocks.1`, and before it each of the
    /// layers on the way down and up, `up_blocks.1.0`, a residual block with the transformer behind it.
    fn feature(&self, block: &str, x: &Tensor) {
        let _ = (block, x);
    }
}

/// Rows of a result `[n, ..]` to one number each, `[n]`. It is given some of an ask's rows only, and called for each part,
/// where these are spread over forwards; and again after a failed forward.
pub type Loss = Rc<dyn Fn(&Tensor) -> Tensor>;

/// What is asked for.
#[derive(Clone, Default)]
pub enum Want {
    /// The stage's result.
    #[default]
    Output,
    /// That, and the gradient of a loss.
    Gradient {
        /// Of the result's rows, one number each.
        loss: Loss,
        /// In what.
        wrt: Wrt,
    },
}

/// What a gradient is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrt {
    /// The rows.
    X,
    /// The conditioning of that name.
    Cond(&'static str),
}

impl Want {
    /// What the gradient is taken in, if one is wanted.
    pub fn wrt(&self) -> Option<Wrt> {
        match self {
            Self::Output => None,
            Self::Gradient { wrt, .. } => Some(*wrt),
        }
    }
}

impl fmt::Debug for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.wrt())
    }
}

/// One question: a number of rows for one stage of one model.
pub struct Ask {
    /// The model's id, as in `/v1/models`.
    pub model: Arc<str>,
    /// What to compute.
    pub stage: Stage,
    /// The rows, `[n, ..]`.
    pub x: Tensor,
    /// What the network is told about each row's noise level, `n` numbers for `Predict`, else empty.
    pub t: Vec<f64>,
    /// What goes along with the rows.
    pub cond: Conditioning,
    /// Text-encoder layers left out at the end (`Embed` only; asks share a forward only where it agrees).
    pub skip: u32,
    /// Whether all rows must be in one forward (attention control); otherwise they may be spread.
    pub together: bool,
    /// Pictures this question advances by one evaluation.
    pub pictures: usize,
    /// What the run does inside the forward, which holds its rows together.
    pub tap: Option<Rc<dyn Tap>>,
    /// Whether a gradient is wanted too.
    pub want: Want,
}

impl Ask {
    /// These rows for a stage of a model, with nothing beside them; it advances no picture.
    pub fn new(model: Arc<str>, stage: Stage, x: Tensor) -> Self {
        let (cond, want) = (Conditioning::none(), Want::Output);
        Self { model, stage, x, t: Vec::new(), cond, skip: 0, together: false, pictures: 0, tap: None, want }
    }

    /// Rows of this question.
    pub fn rows(&self) -> usize {
        usize::try_from(self.x.size()[0]).expect("a size is not negative")
    }

    /// Whether all rows must be in one forward.
    pub fn is_whole(&self) -> bool {
        self.together || self.tap.is_some()
    }
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows for {:?} of {}, {:?}", self.rows(), self.stage, self.model, self.want)
    }
}

/// What a model says to an [`Ask`].
#[derive(Debug)]
pub struct Answer {
    /// `[n, ..]`, the stage's result.
    pub output: Tensor,
    /// The gradient of each row's loss, where one was wanted, of the shape of what it is taken in.
    pub gradient: Option<Tensor>,
}

impl Answer {
    /// An answer without a gradient.
    pub fn of(output: Tensor) -> Self {
        Self { output, gradient: None }
    }
}

/// A question or a wish to read numbers, waiting in a mailbox under its ticket.
#[derive(Debug)]
pub enum Letter {
    /// For a model.
    Ask(Ask),
    /// Bring this tensor to the processor.
    Read(Tensor),
}

/// The reply to a [`Letter`].
#[derive(Debug)]
pub enum Reply {
    /// To an [`Ask`].
    Answer(Answer),
    /// To a read: the same tensor, on the processor.
    Read(Tensor),
}

#[derive(Default)]
struct Mailbox {
    next: u64,
    out: Vec<(u64, Letter)>,
    replies: BTreeMap<u64, Result<Reply>>,
    preview: BTreeMap<usize, Tensor>,
    pictures: usize,
}

/// Which pictures of a job a tensor's rows are: `first`, and those behind it, of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Index of the first row.
    pub first: usize,
    /// Pictures in all.
    pub of: usize,
}

/// A run's handle to the networks. Clones share one mailbox.
#[derive(Clone, Default)]
pub struct Net(Rc<RefCell<Mailbox>>);

impl Net {
    /// Puts the question and waits for the answer.
    ///
    /// # Errors
    /// What the forward failed with, for this question alone.
    pub async fn ask(&self, ask: Ask) -> Result<Answer> {
        match self.wait(Letter::Ask(ask)).await? {
            Reply::Answer(answer) => Ok(answer),
            Reply::Read(_) => Err(Failure::Internal("a question was answered with a read".into())),
        }
    }

    /// The numbers of a small tensor, row-major. All reads of a tick cost one copy from the device.
    ///
    /// # Errors
    /// A device error.
    pub async fn read(&self, tensor: &Tensor) -> Result<Vec<f64>> {
        let tensor = self.fetch(tensor).await?.to_kind(tch::Kind::Double).view(-1);
        Ok(Vec::try_from(tensor)?)
    }

    /// The tensor, copied to the processor.
    ///
    /// # Errors
    /// A device error.
    pub async fn fetch(&self, tensor: &Tensor) -> Result<Tensor> {
        match self.wait(Letter::Read(tensor.shallow_clone())).await? {
            Reply::Read(tensor) => Ok(tensor),
            Reply::Answer(_) => Err(Failure::Internal("a read was answered with an answer".into())),
        }
    }

    /// Shows the engine the newest estimate of the clean latents `[n, C, h, w]` of these pictures; it may make a preview of
    /// it once every picture has shown one.
    pub fn show(&self, x0: &Tensor, rows: Rows) {
        let mut mailbox = self.0.borrow_mut();
        mailbox.pictures = rows.of;
        mailbox.preview.insert(rows.first, x0.shallow_clone());
    }

    /// Takes the newest estimate of all pictures `[n, C, h, w]`, if all have shown one (engine side).
    pub fn take_preview(&self) -> Option<Tensor> {
        let mailbox = self.0.borrow();
        let shown: Vec<&Tensor> = mailbox.preview.values().collect();
        let pictures: i64 = shown.iter().map(|x0| x0.size()[0]).sum();
        (pictures > 0 && pictures.unsigned_abs() as usize == mailbox.pictures).then(|| concat(&shown))
    }

    /// Takes all letters that wait (engine side).
    pub fn take(&self) -> Vec<(u64, Letter)> {
        std::mem::take(&mut self.0.borrow_mut().out)
    }

    /// Puts a reply back (engine side); the run must be polled afterwards.
    pub fn reply(&self, ticket: u64, reply: Result<Reply>) {
        self.0.borrow_mut().replies.insert(ticket, reply);
    }

    async fn wait(&self, letter: Letter) -> Result<Reply> {
        let ticket = self.post(letter);
        poll_fn(|_| match self.0.borrow_mut().replies.remove(&ticket) {
            Some(reply) => Poll::Ready(reply),
            None => Poll::Pending,
        })
        .await
    }

    fn post(&self, letter: Letter) -> u64 {
        let mut mailbox = self.0.borrow_mut();
        let ticket = mailbox.next;
        mailbox.next += 1;
        mailbox.out.push((ticket, letter));
        ticket
    }
}
