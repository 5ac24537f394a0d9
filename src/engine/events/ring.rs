//! The newest events of one job.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

use super::{Event, EventId, Frame, PROGRESS_EVERY, Preview, PreviewData};
use crate::job::Progress;

/// Bytes that a frame costs beside its data.
const FRAME_BYTES: usize = 96;

/// Bytes that the events of a job may take once it has ended: many such jobs are kept for a while.
const ENDED_BYTES: usize = 128 << 10;

/// A ring bounded in bytes; its frames are numbered without gaps.
pub struct Ring {
    limit: usize,
    bytes: usize,
    frames: VecDeque<Arc<Frame>>,
    /// The frame that fell out last, still known by its id.
    fallen: Option<EventId>,
    attempt: u32,
    newest: u64,
    ended: bool,
    previews: HashMap<u32, Bytes>,
    watchers: Vec<UnboundedSender<Preview>>,
    told: Option<(Instant, Progress)>,
    held: Option<Progress>,
}

/// Where a reader starts.
pub struct Place {
    /// Whether it is first told the job as it is.
    pub snapshot: bool,
    /// The number of its first event.
    pub next: u64,
}

impl Ring {
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: 0,
            frames: VecDeque::new(),
            fallen: None,
            attempt: 0,
            newest: 0,
            ended: false,
            previews: HashMap::new(),
            watchers: Vec::new(),
            told: None,
            held: None,
        }
    }

    /// Whether the final event is in.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Number of the newest event, 0 before the first.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Number of the oldest event still held, or of the next one.
    pub fn oldest(&self) -> u64 {
        self.frames.front().map_or(self.newest + 1, |frame| frame.id.n)
    }

    /// The event of that number.
    pub fn frame(&self, n: u64) -> Option<Arc<Frame>> {
        let place = usize::try_from(n.checked_sub(self.oldest())?).ok()?;
        self.frames.get(place).cloned()
    }

    /// The events after that number.
    pub fn after(&self, n: u64) -> Vec<Arc<Frame>> {
        (n + 1..=self.newest).filter_map(|n| self.frame(n)).collect()
    }

    /// The latest preview of a picture.
    pub fn preview(&self, index: u32) -> Option<Bytes> {
        self.previews.get(&index).cloned()
    }

    /// Where a reader starts that saw `last`, or nothing yet.
    pub fn place(&self, last: Option<EventId>) -> Place {
        match last {
            Some(last) if self.knows(last) => Place { snapshot: false, next: last.n + 1 },
            Some(_) => Place { snapshot: true, next: self.oldest() },
            None => Place { snapshot: self.ended || self.newest == 0, next: 1 },
        }
    }

    fn knows(&self, id: EventId) -> bool {
        self.fallen == Some(id) || self.frame(id.n).is_some_and(|frame| frame.id == id)
    }

    /// Takes an event in, unless the job has ended. Progress may be held back for a while; any other event brings it along.
    pub fn push(&mut self, attempt: u32, event: Event) {
        if self.ended {
            return;
        }
        self.attempt = self.attempt.max(attempt);
        match event {
            Event::Progress(progress) => self.progress(progress),
            Event::Queued(job) => self.tell("queued", &job),
            Event::Started(job) => self.tell("started", &job),
            Event::Image(image) => self.tell("image", &image),
            Event::Ended(job) => {
                self.tell(job.status.name(), &job);
                self.ended = true;
                self.previews = HashMap::new();
                self.watchers = Vec::new();
                self.limit = self.limit.min(ENDED_BYTES);
                self.trim();
            }
        }
    }

    /// Gives every preview to this one too, until the job has ended.
    pub fn watch(&mut self, watcher: UnboundedSender<Preview>) {
        if !self.ended {
            self.watchers.push(watcher);
        }
    }

    /// Takes a preview in.
    pub fn push_preview(&mut self, attempt: u32, preview: Preview, url: String) {
        if self.ended {
            return;
        }
        self.attempt = self.attempt.max(attempt);
        self.watchers.retain(|watcher| watcher.send(preview.clone()).is_ok());
        let Preview { index, evaluations, bytes } = preview;
        self.previews.insert(index, bytes);
        self.tell("preview", &PreviewData { index, evaluations, url });
    }

    fn progress(&mut self, progress: Progress) {
        // Counts are read when news is heard, so that later news may say the same.
        if self.told.is_some_and(|(_, told)| told == progress) {
            return;
        }
        let soon = self.told.is_some_and(|(at, _)| at.elapsed() < PROGRESS_EVERY);
        if soon && progress.of != Some(progress.evaluations) {
            self.held = Some(progress);
        } else {
            self.held = None;
            self.told = Some((Instant::now(), progress));
            self.append("progress", &progress);
        }
    }

    fn tell(&mut self, name: &'static str, data: &impl Serialize) {
        if let Some(held) = self.held.take() {
            self.append("progress", &held);
        }
        self.append(name, data);
    }

    fn append(&mut self, name: &'static str, data: &impl Serialize) {
        self.newest += 1;
        let id = EventId { attempt: self.attempt, n: self.newest };
        let data: Arc<str> = serde_json::to_string(data).expect("events are plain data").into();
        self.bytes += data.len() + FRAME_BYTES;
        self.frames.push_back(Arc::new(Frame { id, name, data }));
        self.trim();
    }

    fn trim(&mut self) {
        while self.bytes > self.limit && self.frames.len() > 1 {
            let Some(oldest) = self.frames.pop_front() else { break };
            self.bytes -= oldest.data.len() + FRAME_BYTES;
            self.fallen = Some(oldest.id);
        }
        if self.ended {
            self.frames.shrink_to_fit();
        }
    }
}
