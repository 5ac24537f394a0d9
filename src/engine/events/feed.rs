//! What happens to all jobs of an owner, for pages that follow many: one bounded ring for each owner that is listened to.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::{Frame, hold};
use crate::job::Owner;

/// How long a feed that nobody reads goes on, for those who come back.
const KEEP: Duration = Duration::from_secs(60);

/// Bytes that an event costs beside its data.
const ENTRY_BYTES: usize = 64;

/// Whose jobs a feed tells of; `None`: everybody's.
pub type Whose = Option<Owner>;

/// The feeds that are listened to, or were a moment ago.
#[derive(Default)]
pub struct Feeds(Mutex<HashMap<Whose, Arc<Feed>>>);

struct Feed {
    /// Tells its events from those of an earlier feed of the same owner.
    birth: i64,
    limit: usize,
    ring: Mutex<Ring>,
    bell: watch::Sender<()>,
}

struct Ring {
    bytes: usize,
    newest: u64,
    events: VecDeque<Arc<Told>>,
    /// When the last reader was seen.
    read: Instant,
}

/// An event of one of many jobs.
#[derive(Debug)]
pub struct Told {
    n: u64,
    /// Its type.
    pub name: &'static str,
    /// `{"job": id, "data": ...}`
    pub data: String,
}

/// What a reader has to send next.
#[derive(Clone, Debug)]
pub enum FeedNext {
    /// Events were missed: the jobs as they are now.
    Snapshot,
    /// An event and its id.
    Event(String, Arc<Told>),
}

/// One reader of a feed.
pub struct FeedReader {
    feed: Arc<Feed>,
    bell: watch::Receiver<()>,
    snapshot: bool,
    next: u64,
}

impl Feeds {
    /// Tells whoever listens to this owner, or to everybody, what happened to a job.
    pub fn tell(&self, owner: &Owner, job: Uuid, frames: &[Arc<Frame>]) {
        let feeds: Vec<_> = {
            let mut feeds = hold(&self.0);
            feeds.retain(|_, feed| feed.bell.receiver_count() > 0 || hold(&feed.ring).read.elapsed() < KEEP);
            [Some(owner.clone()), None].iter().filter_map(|whose| feeds.get(whose).cloned()).collect()
        };
        for feed in feeds {
            for frame in frames {
                feed.push(frame.name, format!(r#"{{"job":"{job}","data":{}}}"#, frame.data));
            }
            feed.bell.send_replace(());
        }
    }

    /// The events after the one of id `last`, or from now on. A feed keeps `limit` bytes of them.
    pub fn read(&self, whose: Whose, last: Option<&str>, limit: usize) -> FeedReader {
        let feed = hold(&self.0).entry(whose).or_insert_with(|| Arc::new(Feed::new(limit))).clone();
        let bell = feed.bell.subscribe();
        let (next, snapshot) = feed.place(last);
        FeedReader { feed, bell, snapshot, next }
    }
}

impl Feed {
    fn new(limit: usize) -> Self {
        let ring = Ring { bytes: 0, newest: 0, events: VecDeque::new(), read: Instant::now() };
        let birth = Timestamp::now().as_microsecond();
        Self { birth, limit, ring: Mutex::new(ring), bell: watch::Sender::new(()) }
    }

    fn push(&self, name: &'static str, data: String) {
        let mut ring = hold(&self.ring);
        ring.newest += 1;
        ring.bytes += data.len() + ENTRY_BYTES;
        let n = ring.newest;
        ring.events.push_back(Arc::new(Told { n, name, data }));
        while ring.bytes > self.limit && ring.events.len() > 1 {
            let Some(oldest) = ring.events.pop_front() else { break };
            ring.bytes -= oldest.data.len() + ENTRY_BYTES;
        }
    }

    /// The number of a reader's first event, and whether it has missed some.
    fn place(&self, last: Option<&str>) -> (u64, bool) {
        let ring = hold(&self.ring);
        let Some(last) = last else { return (ring.newest + 1, false) };
        let known = last.split_once('-').filter(|(birth, _)| *birth == self.birth.to_string());
        let n: Option<u64> = known.and_then(|(_, n)| n.parse().ok());
        match n.filter(|n| *n <= ring.newest && *n + 1 >= ring.oldest()) {
            Some(n) => (n + 1, false),
            None => (ring.newest + 1, true),
        }
    }
}

impl Ring {
    fn oldest(&self) -> u64 {
        self.events.front().map_or(self.newest + 1, |event| event.n)
    }
}

impl FeedReader {
    /// Waits for what comes next. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<FeedNext> {
        loop {
            self.bell.mark_unchanged();
            if let Some(next) = self.poll() {
                return Some(next);
            }
            self.bell.changed().await.ok()?;
        }
    }

    fn poll(&mut self) -> Option<FeedNext> {
        let mut ring = hold(&self.feed.ring);
        ring.read = Instant::now();
        if self.next < ring.oldest() {
            self.next = ring.newest + 1;
            self.snapshot = true;
        }
        if std::mem::take(&mut self.snapshot) {
            return Some(FeedNext::Snapshot);
        }
        let place = usize::try_from(self.next - ring.oldest()).ok()?;
        let told = ring.events.get(place)?.clone();
        self.next += 1;
        Some(FeedNext::Event(format!("{}-{}", self.feed.birth, told.n), told))
    }
}
