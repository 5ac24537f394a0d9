//! The forward of a tick: which rows share it, what it costs, whether it was finite, and who gets which answer.

use std::{
    collections::BTreeSet,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use tch::{Device, Tensor};
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::{
    batch::{Candidate, fill, score},
    failure::{Piece, attempt, caught},
    host::{Bucket, Host},
    message::{Estimates, Report},
    previews::Previews,
    rows::{finite, gathered, losses, parted},
    slab::Slot,
    thread::Thread,
};
use crate::{
    ask::{Answer, Ask, Reply, Stage},
    error::{Failure, Result},
};

/// A forward whose rows are not known to be finite yet.
pub struct Unchecked {
    finite: Tensor,
    owners: Vec<(u64, usize)>,
    bucket: Bucket,
    rows: usize,
    started: Instant,
    /// What it took, where that is known already.
    time: Option<Duration>,
}

impl Thread {
    /// One forward of the bucket that had the least time, and its answers.
    pub(super) fn serve(&mut self) {
        let mut waiting: Vec<(u64, &Bucket)> = Vec::new();
        for slot in self.slots.runs.values() {
            waiting.extend(slot.waiting.iter().map(|question| (question.order, &question.bucket)));
        }
        waiting.sort_by_key(|(order, _)| *order);
        let buckets: Vec<Bucket> = waiting.into_iter().map(|(_, bucket)| bucket.clone()).collect();
        let Some(bucket) = self.slots.shares.next(&buckets, |bucket| bucket.wrt.is_some()) else { return };
        let Some(host) = self.hosts.get(&bucket.model) else {
            return self.refuse(&bucket);
        };
        let cap = host.cap(&bucket, &self.config);
        let (places, pieces) = self.pieces(&bucket, cap);
        let answers = attempt(&pieces, &mut |pieces| caught(|| self.forward(&bucket, &places, pieces)));
        self.answer(&places, answers);
    }

    fn refuse(&mut self, wanted: &Bucket) {
        for slot in self.slots.runs.values_mut() {
            if slot.waiting.iter().any(|question| question.bucket == *wanted) {
                slot.end_with(Err(Failure::Internal(format!("model `{}` is not loaded here", wanted.model))));
            }
        }
    }

    /// The rows of the next forward: (run, place in its questions) of each candidate, and the pieces of those taken.
    fn pieces(&self, wanted: &Bucket, cap: usize) -> (Vec<(u64, usize)>, Vec<Piece>) {
        let (mut places, mut candidates) = (Vec::new(), Vec::new());
        for (number, slot) in &self.slots.runs {
            for (at, question) in slot.waiting.iter().enumerate() {
                if question.bucket != *wanted {
                    continue;
                }
                let score =
                    score(slot.counters.rows.load(Relaxed), question.since.elapsed().as_secs_f64(), slot.priority);
                let (id, rows, together) = (places.len(), question.left(), question.ask.is_whole());
                candidates.push(Candidate { id, rows, together, score, order: question.order });
                places.push((*number, at));
            }
        }
        let question = |id: usize| &self.slots.runs[&places[id].0].waiting[places[id].1];
        let takes = fill(candidates, cap);
        let piece =
            |id: usize, rows| Piece { id, rows, from: question(id).served, together: question(id).ask.is_whole() };
        let pieces = takes.iter().map(|take| piece(take.id, take.rows)).collect();
        (places, pieces)
    }

    fn forward(&mut self, bucket: &Bucket, places: &[(u64, usize)], pieces: &[Piece]) -> Result<Vec<Answer>> {
        self.check();
        let asks: Vec<(&Ask, &Piece)> = pieces
            .iter()
            .map(|piece| (&self.slots.runs[&places[piece.id].0].waiting[places[piece.id].1].ask, piece))
            .collect();
        let rows: usize = pieces.iter().map(|piece| piece.rows).sum();
        let (batch, losses) = (gathered(&asks), losses(&asks));
        let span = tracing::debug_span!("forward", model = &*bucket.model, stage = bucket.stage.name(), rows);
        for slot in pieces.iter().filter_map(|piece| self.slots.runs.get(&places[piece.id].0)) {
            span.follows_from(&slot.span);
        }
        let _inside = span.entered();
        let started = Instant::now();
        let host = self.host(bucket)?;
        let padding = host.padding(bucket.stage, &bucket.x.1, rows);
        let answer = host.within_memory(bucket.stage, batch, losses.as_ref())?;
        // A processor is done here, a device has only been told.
        let time = (self.device == Device::Cpu).then(|| started.elapsed());
        let finite = finite(&answer);
        let owners: Vec<_> = pieces.iter().map(|piece| (places[piece.id].0, piece.rows)).collect();
        self.count(bucket, rows, padding, &owners);
        self.slots.unchecked = Some(Unchecked { finite, owners, bucket: bucket.clone(), rows, started, time });
        Ok(parted(&answer, pieces))
    }

    fn host(&self, bucket: &Bucket) -> Result<&Host> {
        self.hosts.get(&bucket.model).ok_or_else(|| Failure::Internal("the model is gone".into()))
    }

    fn count(&mut self, bucket: &Bucket, rows: usize, padding: usize, owners: &[(u64, usize)]) {
        if bucket.stage == Stage::Predict {
            self.metrics.batch_rows.with_label_values(&[&*bucket.model]).observe(rows as f64);
        }
        self.metrics.padding_rows_total.inc_by(padding as u64);
        for (number, _) in owners {
            if let Some(slot) = self.slots.runs.get_mut(number) {
                slot.unchecked += 1;
            }
        }
        let jobs: BTreeSet<Uuid> =
            owners.iter().filter_map(|(number, _)| Some(self.slots.runs.get(number)?.job)).collect();
        tracing::trace!(stage = bucket.stage.name(), rows, padding, ?jobs, "forward");
    }

    fn answer(&mut self, places: &[(u64, usize)], answers: Vec<(Piece, Result<Answer>)>) {
        for (piece, answer) in answers {
            let (number, at) = places[piece.id];
            let Some(slot) = self.slots.runs.get_mut(&number) else { continue };
            match answer {
                Ok(answer) => receive(slot, at, piece.rows, answer),
                Err(failure) => drop(slot.end_with(Err(failure))),
            }
        }
        for slot in self.slots.runs.values_mut() {
            deliver(slot, &self.reports);
        }
    }

    /// Reads whether the rows of the last forward were finite; on a device this waits for it, so that run-ahead is one.
    pub(super) fn check(&mut self) {
        let Some(Unchecked { finite, owners, bucket, rows, started, time }) = self.slots.unchecked.take() else {
            return;
        };
        let flags = caught(|| Ok(Vec::<bool>::try_from(finite)?));
        let time = time.unwrap_or_else(|| started.elapsed());
        self.note(&bucket, rows, time);
        let of_a_row = time.as_secs_f64() * 1e6 / rows.max(1) as f64;
        let mut from = 0;
        for (number, rows) in owners {
            let verdict = match &flags {
                Ok(flags) if flags[from..from + rows].iter().all(|finite| *finite) => None,
                Ok(_) => Some(Failure::NotFinite),
                Err(failure) => Some(failure.clone()),
            };
            from += rows;
            let Some(slot) = self.slots.runs.get_mut(&number) else { continue };
            slot.unchecked -= 1;
            slot.counters.device_us.fetch_add((of_a_row * rows as f64) as u64, Relaxed);
            if let Some(failure) = verdict {
                slot.end_with(Err(failure));
            }
        }
    }

    fn note(&mut self, bucket: &Bucket, rows: usize, time: Duration) {
        self.slots.shares.spend(bucket, time.as_secs_f64());
        let labels = [&*bucket.model, bucket.stage.name()];
        self.metrics.forward_seconds.with_label_values(&labels).observe(time.as_secs_f64());
        if let Some(host) = self.hosts.get_mut(&bucket.model) {
            host.note(bucket, rows, time);
            let cap = host.native_cap(&self.config);
            self.cap.store(cap, Relaxed);
            self.keep(bucket);
        }
    }

    /// Tells the measurements to whoever stores them, where they rest on more than those that were kept.
    fn keep(&mut self, bucket: &Bucket) {
        let Some(host) = self.hosts.get(&bucket.model) else { return };
        let measured = host.measured();
        let support = measured.curves.values().map(super::cost::Curve::support).sum();
        if let Some(file) = &host.file
            && self.slots.kept.insert(bucket.model.clone(), support) != Some(support)
        {
            let _ = self.reports.send(Report::Measured(measured, file.clone()));
        }
    }
}

fn receive(slot: &mut Slot, at: usize, rows: usize, answer: Answer) {
    // A run that another of its pieces ended has no questions left.
    let Some(question) = slot.waiting.get_mut(at) else { return };
    if question.ask.stage == Stage::Predict {
        slot.counters.rows.fetch_add(rows as u64, Relaxed);
    }
    if let Some(answer) = question.receive(rows, answer) {
        slot.net.reply(question.ticket, Ok(Reply::Answer(answer)));
        slot.ready = true;
    }
}

/// Takes the answered questions off the run, counts them, and shows a preview where one is due.
fn deliver(slot: &mut Slot, reports: &UnboundedSender<Report>) {
    let done: usize =
        slot.waiting.iter().filter(|question| question.left() == 0).map(|question| question.ask.pictures).sum();
    slot.waiting.retain(|question| question.left() > 0);
    if done == 0 {
        return;
    }
    let evaluations = slot.counters.evaluations.fetch_add(done as u64, Relaxed) + done as u64;
    slot.metric.inc_by(done as u64);
    let _ = reports.send(Report::Progress(slot.job));
    // The estimate shown is that of the evaluation before, which the run has already worked into its state.
    if slot.previews.due(evaluations)
        && let Some(x0) = slot.net.take_preview()
    {
        slot.previews.note(evaluations);
        let Previews { card, size, pictures, .. } = &slot.previews;
        let _ = reports.send(Report::Preview(Estimates {
            job: slot.job,
            attempt: slot.attempt,
            card: card.clone(),
            size: *size,
            pictures: pictures.clone(),
            evaluations: slot.previews.each(evaluations),
            owed: slot.previews.owed(),
            latents: x0.to_device(Device::Cpu),
        }));
    }
}
