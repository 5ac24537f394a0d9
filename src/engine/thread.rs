//! The tick: take commands, poll what is answered, form one batch, forward, answer. One thread for each device.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, TryRecvError},
    },
    time::{Duration, Instant},
};

use tch::{Device, Tensor};
use tokio::sync::mpsc::UnboundedSender;

use super::{
    batch::{Candidate, Shares, fill, score},
    failure::{Piece, attempt, caught, is_sticky},
    host::{Bucket, Host},
    message::{Command, Report, Start},
    rows::{brought, finite, gathered, parted},
    slab::{Previews, Slot, Waiting},
    start::name,
};
use crate::{
    ask::{Answer, Ask, Letter, Net, Reply, Stage},
    config,
    error::{Failure, Result},
    metrics::Metrics,
    task::generate,
};

/// A forward whose rows are not known to be finite yet.
struct Unchecked {
    finite: Tensor,
    owners: Vec<(u64, usize)>,
    bucket: Bucket,
    rows: usize,
    started: Instant,
}

/// One device's worker.
pub struct Thread {
    /// Where it computes.
    pub device: Device,
    /// The models it has, by id.
    pub hosts: HashMap<Arc<str>, Host>,
    /// How it batches.
    pub config: config::Engine,
    /// What it counts.
    pub metrics: Metrics,
    /// Commands.
    pub commands: Receiver<Command>,
    /// Reports.
    pub reports: UnboundedSender<Report>,
    /// Rows of a native forward, for admission.
    pub cap: Arc<AtomicUsize>,
    /// Its runs, by number.
    pub slots: Slots,
}

/// Runs and what is known about all of them.
#[derive(Default)]
pub struct Slots {
    runs: BTreeMap<u64, Slot>,
    next: u64,
    order: u64,
    shares: Shares<Bucket>,
    unchecked: Option<Unchecked>,
    stopping: bool,
    kept: HashMap<Arc<str>, usize>,
}

impl Thread {
    /// Works until it is told to stop. A panic that no run can be blamed for is the end of the process, which another one
    /// takes up: a silent thread would keep its jobs for ever.
    pub fn run(mut self) {
        let reports = self.reports.clone();
        let worked = caught(|| {
            while self.listen() {
                self.tick();
            }
            Ok(())
        });
        if let Err(failure) = worked {
            let _ = reports.send(Report::Dead(failure.to_string()));
        }
    }

    fn tick(&mut self) {
        self.poll();
        self.check();
        self.poll();
        self.bury();
        self.serve();
    }

    /// Takes all commands; waits for one where there is nothing to do. False at the end.
    fn listen(&mut self) -> bool {
        loop {
            let idle = self.slots.runs.is_empty();
            let command = if idle && !self.slots.stopping {
                self.commands.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                self.commands.try_recv()
            };
            match command {
                Ok(command) => self.obey(command),
                Err(TryRecvError::Empty) => return !(idle && self.slots.stopping),
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Start(starts) => starts.into_iter().for_each(|start| self.start(start)),
            Command::Cancel(job) => self.slots.runs.retain(|_, slot| slot.job != job),
            Command::Stop => self.slots.stopping = true,
        }
        self.gauge();
    }

    fn gauge(&self) {
        let active = i64::try_from(self.slots.runs.len()).unwrap_or(i64::MAX);
        self.metrics.runs_active.with_label_values(&[name(self.device)]).set(active);
    }

    fn start(&mut self, start: Start) {
        let Start { job, attempt, plan, counters } = start;
        crate::failpoint::hit_with("crash_prompt", &plan.request.prompt);
        let net = Net::default();
        let sampler = plan.request.sampler["name"].as_str().unwrap_or_default();
        let metric = self.metrics.evaluations_total.with_label_values(&[&*plan.card.id, sampler]);
        let previews = Previews::new(plan.request.preview_every, plan.pictures.clone());
        let priority = plan.request.priority;
        let future = Box::pin(generate(plan, net.clone(), self.device));
        let slot = Slot {
            job,
            attempt,
            net,
            future,
            waiting: Vec::new(),
            counters,
            metric,
            priority,
            previews,
            unchecked: 0,
            end: None,
            ready: true,
        };
        self.slots.runs.insert(self.slots.next, slot);
        self.slots.next += 1;
    }

    /// Polls every ready run until none is; all reads of a round are one copy from the device.
    fn poll(&mut self) {
        loop {
            let mut reads = Vec::new();
            for (number, slot) in self.slots.runs.iter_mut().filter(|(_, slot)| slot.ready) {
                for (ticket, letter) in slot.poll() {
                    match letter {
                        Letter::Ask(ask) => {
                            slot.waiting.push(Waiting::new(ticket, ask, self.slots.order));
                            self.slots.order += 1;
                        }
                        Letter::Read(tensor) => reads.push((*number, ticket, tensor)),
                    }
                }
            }
            if reads.is_empty() {
                return;
            }
            self.read(&reads);
        }
    }

    fn read(&mut self, reads: &[(u64, u64, Tensor)]) {
        let tensors: Vec<&Tensor> = reads.iter().map(|(_, _, tensor)| tensor).collect();
        let copies = caught(|| Ok(brought(&tensors)));
        for (at, (number, ticket, _)) in reads.iter().enumerate() {
            let reply = copies.as_ref().map(|copies| Reply::Read(copies[at].shallow_clone())).map_err(Clone::clone);
            if let Some(slot) = self.slots.runs.get_mut(number) {
                slot.net.reply(*ticket, reply);
                slot.ready = true;
            }
        }
    }

    /// Reads whether the rows of the last forward were finite; on a device this waits for it, so that run-ahead is one.
    fn check(&mut self) {
        let Some(Unchecked { finite, owners, bucket, rows, started }) = self.slots.unchecked.take() else { return };
        let flags = caught(|| Ok(Vec::<bool>::try_from(finite)?));
        if self.device != Device::Cpu {
            self.note(&bucket, rows, started.elapsed());
        }
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

    /// Tells the measurements to whoever stores them, where a count is new.
    fn keep(&mut self, bucket: &Bucket) {
        let Some(host) = self.hosts.get(&bucket.model) else { return };
        let measured = host.measured();
        let counts = measured.curves.values().map(super::cost::Curve::counts).sum();
        if let Some(file) = &host.file
            && self.slots.kept.insert(bucket.model.clone(), counts) != Some(counts)
        {
            let _ = self.reports.send(Report::Measured(measured, file.clone()));
        }
    }

    /// Takes out the runs that ended, once every forward they had a row in is known to be finite.
    fn bury(&mut self) {
        let over = |slot: &Slot| matches!(&slot.end, Some(Err(_))) || slot.end.is_some() && slot.unchecked == 0;
        let numbers: Vec<u64> = self.slots.runs.iter().filter(|(_, slot)| over(slot)).map(|(at, _)| *at).collect();
        for number in numbers {
            let Some(Slot { job, attempt, end: Some(end), .. }) = self.slots.runs.remove(&number) else { continue };
            if let Err(failure) = &end
                && is_sticky(failure)
            {
                let _ = self.reports.send(Report::Dead(failure.to_string()));
            }
            self.gauge();
            let _ = self.reports.send(Report::Ended { job, attempt, end });
        }
    }

    /// One forward of the bucket that had the least time, and its answers.
    fn serve(&mut self) {
        let mut waiting: Vec<(u64, &Bucket)> = Vec::new();
        for slot in self.slots.runs.values() {
            waiting.extend(slot.waiting.iter().map(|question| (question.order, &question.bucket)));
        }
        waiting.sort_by_key(|(order, _)| *order);
        let buckets: Vec<Bucket> = waiting.into_iter().map(|(_, bucket)| bucket.clone()).collect();
        let Some(bucket) = self.slots.shares.next(&buckets) else { return };
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
                let (id, rows, together) = (places.len(), question.left(), question.ask.together);
                candidates.push(Candidate { id, rows, together, score, order: question.order });
                places.push((*number, at));
            }
        }
        let question = |id: usize| &self.slots.runs[&places[id].0].waiting[places[id].1];
        let takes = fill(candidates, cap);
        let piece =
            |id: usize, rows| Piece { id, rows, from: question(id).served, together: question(id).ask.together };
        let pieces = takes.iter().map(|take| piece(take.id, take.rows)).collect();
        (places, pieces)
    }

    fn forward(&mut self, bucket: &Bucket, places: &[(u64, usize)], pieces: &[Piece]) -> Result<Vec<Answer>> {
        self.check();
        let asks: Vec<(&Ask, &Piece)> = pieces
            .iter()
            .map(|piece| (&self.slots.runs[&places[piece.id].0].waiting[places[piece.id].1].ask, piece))
            .collect();
        let batch = gathered(&asks);
        let rows: usize = pieces.iter().map(|piece| piece.rows).sum();
        let _span =
            tracing::debug_span!("forward", model = &*bucket.model, stage = bucket.stage.name(), rows).entered();
        let started = Instant::now();
        let host = self.hosts.get(&bucket.model).ok_or_else(|| Failure::Internal("the model is gone".into()))?;
        let padding = host.padding(bucket.stage, &bucket.x.1, rows);
        let answer = host.forward(bucket.stage, batch)?;
        let time = started.elapsed();
        let finite = finite(&answer.output);
        let owners: Vec<_> = pieces.iter().map(|piece| (places[piece.id].0, piece.rows)).collect();
        self.count(bucket, rows, padding, &owners);
        if self.device == Device::Cpu {
            self.note(bucket, rows, time);
        }
        self.slots.unchecked = Some(Unchecked { finite, owners, bucket: bucket.clone(), rows, started });
        Ok(parted(&answer, pieces))
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
        let jobs: std::collections::BTreeSet<u64> = owners.iter().map(|(number, _)| *number).collect();
        tracing::trace!(
            model = &*bucket.model,
            stage = bucket.stage.name(),
            rows,
            padding,
            runs = jobs.len(),
            "forward"
        );
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
        let pictures = slot.previews.pictures.clone();
        let evaluations = evaluations / pictures.len().max(1) as u64;
        let latents = x0.to_device(Device::Cpu);
        let _ = reports.send(Report::Preview { job: slot.job, attempt: slot.attempt, pictures, evaluations, latents });
    }
}
