//! The tick: take commands, poll what is answered, form one batch, forward, answer. One thread for each device.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::AtomicUsize,
        mpsc::{Receiver, TryRecvError},
    },
};

use tch::{Device, Tensor};
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::{
    batch::Shares,
    failure::{caught, is_sticky},
    forward::Unchecked,
    host::{Bucket, Host},
    message::{Command, Report, Start},
    previews::Previews,
    rows::brought,
    slab::{Slot, Waiting},
    start::name,
};
use crate::{
    ask::{Letter, Net, Reply},
    config,
    metrics::Metrics,
};

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
    pub(super) runs: BTreeMap<u64, Slot>,
    next: u64,
    order: u64,
    pub(super) shares: Shares<Bucket>,
    pub(super) unchecked: Option<Unchecked>,
    stopping: bool,
    pub(super) kept: HashMap<Arc<str>, usize>,
}

impl Thread {
    /// Works until it is told to stop. A panic that no run can be blamed for is the end of the process, which another one
    /// takes up: a silent thread would keep its jobs for ever. Torch keeps no graph of what runs compute.
    pub fn run(mut self) {
        let reports = self.reports.clone();
        let _ungraphed = tch::no_grad_guard();
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
            Command::Interrupt(job) => self.interrupt(job),
            Command::Stop => self.slots.stopping = true,
        }
        self.gauge();
    }

    fn interrupt(&mut self, job: Uuid) {
        for slot in self.slots.runs.values_mut().filter(|slot| slot.job == job) {
            (slot.stopping, slot.ready) = (true, true);
        }
    }

    fn gauge(&self) {
        let active = i64::try_from(self.slots.runs.len()).unwrap_or(i64::MAX);
        self.metrics.runs_active.with_label_values(&[name(self.device)]).set(active);
    }

    fn start(&mut self, start: Start) {
        let Start { job, attempt, task, counters, span } = start;
        crate::failpoint::hit_with("crash_prompt", task.prompt());
        let net = Net::default();
        let metric = self.metrics.evaluations_total.with_label_values(&[&*task.card().id, task.sampler()]);
        let (previews, priority, cut) = (Previews::of(&task), task.priority(), task.cut());
        let future = task.work(net.clone(), self.device);
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
            cut,
            stopping: false,
            unchecked: 0,
            end: None,
            ready: true,
            span,
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
}
