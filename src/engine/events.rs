//! What happened to a job, for whoever listens: a bounded ring for each job, from which any number of streams read.
//!
//! A stream pulls from the ring at its own pace, so that replay and live events are one sequence: nothing is lost between
//! them, nothing comes twice, and a slow client costs no memory. Publishing never waits for a listener.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::{
    mpsc::{UnboundedReceiver, unbounded_channel},
    watch,
};
use uuid::Uuid;

use crate::{
    access::Links,
    job::{Image, Job, Owner, Progress},
};

pub mod feed;
mod ring;

use feed::{FeedReader, Feeds, Whose};
use ring::Ring;

/// Progress is told at most this often, except the last.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// How long the events of a finished job can still be replayed.
const KEEP: Duration = Duration::from_secs(300);

/// Finished jobs whose events are kept at most.
const KEEP_JOBS: usize = 256;

/// Something that happened to a job.
#[derive(Clone, Debug)]
pub enum Event {
    /// It was accepted, or put back.
    Queued(Box<Job>),
    /// It was claimed.
    Started(Box<Job>),
    /// It came further.
    Progress(Progress),
    /// A picture is durable.
    Image(Image),
    /// It ended; the job's status says how.
    Ended(Box<Job>),
}

/// The `id` of an event on the wire, `{attempt}-{n}`; later events have greater ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// The job's attempt at that time.
    pub attempt: u32,
    /// Counts from 1, over all attempts.
    pub n: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.attempt, self.n)
    }
}

impl FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (attempt, n) = text.split_once('-').ok_or(())?;
        Ok(Self { attempt: attempt.parse().map_err(drop)?, n: n.parse().map_err(drop)? })
    }
}

/// An event as it is sent, written once for all its readers.
#[derive(Debug)]
pub struct Frame {
    /// Its `id`.
    pub id: EventId,
    /// Its type: `queued`, `started`, `progress`, `preview`, `image`, `succeeded`, `failed`, `canceled`.
    pub name: &'static str,
    /// Its JSON.
    pub data: Arc<str>,
}

/// What a stream has to send next.
#[derive(Clone, Debug)]
pub enum Next {
    /// The job as it is now, without an id: events before the next one are no longer known, or never were.
    Snapshot,
    /// An event.
    Event(Arc<Frame>),
}

/// The events of all jobs of this process. Clones share them.
#[derive(Clone)]
pub struct Events {
    shared: Arc<Shared>,
    links: Links,
}

struct Shared {
    limit: usize,
    rings: Mutex<Rings>,
    feeds: Feeds,
}

#[derive(Default)]
struct Rings {
    by_job: HashMap<Uuid, Arc<Listened>>,
    ended: VecDeque<(Instant, Uuid)>,
}

/// A ring and the bell that rings when it grows.
struct Listened {
    ring: Mutex<Ring>,
    bell: watch::Sender<()>,
    owner: OnceLock<Owner>,
}

/// Holds whatever the lock guards; a thread that died while holding it left it whole, since every change is a single push.
fn hold<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Events {
    /// No events yet; each job's are bounded to about `bytes_per_job` bytes, the oldest go first.
    pub fn new(bytes_per_job: usize) -> Self {
        let shared = Shared { limit: bytes_per_job, rings: Mutex::default(), feeds: Feeds::default() };
        Self { shared: Arc::new(shared), links: Links::plain() }
    }

    /// The same, with addresses of this kind in what it tells.
    pub fn linked(self, links: Links) -> Self {
        Self { links, ..self }
    }

    /// Publishes an event of a job; callable from any thread. After the job's end it does nothing.
    pub fn publish(&self, job: Uuid, attempt: u32, event: Event) {
        let known = match event {
            // Late news of a job that was erased must not begin its events anew.
            Event::Progress(_) | Event::Image(_) => self.known(job),
            Event::Queued(_) | Event::Started(_) | Event::Ended(_) => Some(self.of(job)),
        };
        let Some(listened) = known else { return };
        let event = self.signed(event);
        if let Event::Queued(job) | Event::Started(job) | Event::Ended(job) = &event {
            listened.owner.get_or_init(|| job.owner.clone());
        }
        if self.push(job, &listened, |ring| ring.push(attempt, event)) {
            self.retire(job);
        }
    }

    /// Publishes a preview of picture `index` and keeps its bytes until the next one of that picture or the job's end.
    pub fn preview(&self, job: Uuid, attempt: u32, preview: Preview) {
        let Some(listened) = self.known(job) else { return };
        let url = self.links.to(&format!("/v1/jobs/{job}/previews/{}", preview.index), Timestamp::now());
        self.push(job, &listened, |ring| ring.push_preview(attempt, preview, url));
    }

    /// Changes a ring and tells whoever listens; answers whether the job has ended by that.
    fn push(&self, job: Uuid, listened: &Listened, change: impl FnOnce(&mut Ring)) -> bool {
        let (news, ended) = {
            let mut ring = hold(&listened.ring);
            let (before, was_ended) = (ring.newest(), ring.ended());
            change(&mut ring);
            (ring.after(before), ring.ended() && !was_ended)
        };
        if !news.is_empty() {
            listened.bell.send_replace(());
            self.shared.feeds.tell(listened.owner.get().unwrap_or(&None), job, &news);
        }
        ended
    }

    /// What happens to all jobs of an owner after the event of id `last`, or from now on.
    pub fn follow(&self, whose: Whose, last: Option<&str>) -> FeedReader {
        self.shared.feeds.read(whose, last, self.shared.limit)
    }

    /// Every preview of a job from now on; the channel closes at the job's end.
    pub fn watch(&self, job: Uuid) -> UnboundedReceiver<Preview> {
        let (watcher, previews) = unbounded_channel();
        hold(&self.of(job).ring).watch(watcher);
        previews
    }

    /// The latest preview of a picture of a job that has not ended.
    pub fn latest_preview(&self, job: Uuid, index: u32) -> Option<Bytes> {
        let listened = self.known(job)?;
        hold(&listened.ring).preview(index)
    }

    /// The events of a job from the one after `last` on.
    ///
    /// A listener first subscribes, then reads the job from the store, and passes it to [`Events::settle`]: so an end that
    /// came before it listened is not missed.
    pub fn subscribe(&self, job: Uuid, last: Option<EventId>) -> Subscription {
        let listened = self.of(job);
        let bell = listened.bell.subscribe();
        let place = hold(&listened.ring).place(last);
        Subscription { listened, bell, snapshot: place.snapshot, next: place.next }
    }

    /// Makes sure that the streams of a job that the store knows to have ended end too.
    pub fn settle(&self, job: &Job) {
        if job.status.is_final() {
            self.publish(job.id, job.attempt, Event::Ended(Box::new(job.clone())));
        }
    }

    /// Drops the events of a job that was erased; streams that read them go on to their end.
    pub fn forget(&self, job: Uuid) {
        hold(&self.shared.rings).by_job.remove(&job);
    }

    fn signed(&self, event: Event) -> Event {
        let sign = |job: Box<Job>| Box::new(self.links.sign(*job));
        match event {
            Event::Queued(job) => Event::Queued(sign(job)),
            Event::Started(job) => Event::Started(sign(job)),
            Event::Ended(job) => Event::Ended(sign(job)),
            Event::Image(image) => Event::Image(self.links.sign_image(image)),
            Event::Progress(_) => event,
        }
    }

    fn known(&self, job: Uuid) -> Option<Arc<Listened>> {
        hold(&self.shared.rings).by_job.get(&job).cloned()
    }

    fn of(&self, job: Uuid) -> Arc<Listened> {
        let mut rings = hold(&self.shared.rings);
        let ring = || Mutex::new(Ring::new(self.shared.limit));
        let make = || Listened { ring: ring(), bell: watch::Sender::new(()), owner: OnceLock::new() };
        Arc::clone(rings.by_job.entry(job).or_insert_with(|| Arc::new(make())))
    }

    /// Notes that a job ended, and drops the events of those that ended long ago.
    fn retire(&self, job: Uuid) {
        let mut rings = hold(&self.shared.rings);
        rings.ended.push_back((Instant::now(), job));
        while let Some(&(at, oldest)) = rings.ended.front() {
            if rings.ended.len() <= KEEP_JOBS && at.elapsed() < KEEP {
                break;
            }
            rings.ended.pop_front();
            rings.by_job.remove(&oldest);
        }
    }
}

/// A picture on its way.
#[derive(Clone, Debug)]
pub struct Preview {
    /// Which picture of the job.
    pub index: u32,
    /// Evaluations done when it was taken.
    pub evaluations: u64,
    /// WebP.
    pub bytes: Bytes,
}

#[derive(Serialize)]
struct PreviewData {
    index: u32,
    evaluations: u64,
    url: String,
}

/// One reader of a job's events.
pub struct Subscription {
    listened: Arc<Listened>,
    bell: watch::Receiver<()>,
    snapshot: bool,
    next: u64,
}

impl Subscription {
    /// Waits for what comes next; `None` after the final event. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Next> {
        loop {
            self.bell.mark_unchanged();
            match self.poll() {
                Found::Next(next) => return Some(next),
                Found::End => return None,
                // The sender lives in `listened`, so this waits for the bell and nothing else.
                Found::Nothing => self.bell.changed().await.ok()?,
            }
        }
    }

    fn poll(&mut self) -> Found {
        let ring = hold(&self.listened.ring);
        if self.next < ring.oldest() {
            self.next = ring.oldest();
            self.snapshot = true;
        }
        if std::mem::take(&mut self.snapshot) {
            // The snapshot of a job that has ended says everything but the end itself.
            self.next = if ring.ended() { self.next.max(ring.newest()) } else { self.next };
            return Found::Next(Next::Snapshot);
        }
        match ring.frame(self.next) {
            Some(frame) => {
                self.next += 1;
                Found::Next(Next::Event(frame))
            }
            None if ring.ended() => Found::End,
            None => Found::Nothing,
        }
    }
}

enum Found {
    Next(Next),
    End,
    Nothing,
}
