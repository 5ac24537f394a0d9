//! Ways out that the engine does not take by itself: cancel, deadline, drain, and the end of the threads.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{Engine, hold, message::Command, results};
use crate::{
    job::{Job, JobError},
    store::{self, Found},
};

/// How often the end of a thread is looked for.
const LOOK: Duration = Duration::from_millis(10);

impl Engine {
    /// Cancels a job that has not ended, for its client or for `cause`, and answers it as it is then. The store hears it
    /// first: a cancel that it could not write changes nothing, and the run goes on.
    ///
    /// # Errors
    /// The store.
    pub async fn cancel(&self, id: Uuid, cause: Option<JobError>) -> store::Result<Found<Job>> {
        let usage = hold(&self.0.running).get(&id).map(super::Running::usage);
        let (job, ended) = match self.0.parts.store.cancel(id, cause, usage).await? {
            Found::Here(found) => found,
            Found::Gone => return Ok(Found::Gone),
            Found::Missing => return Ok(Found::Missing),
        };
        if ended {
            hold(&self.0.requests).remove(&id);
            self.take_out(id);
            results::tell_end(self, &job);
        }
        self.events().settle(&job);
        Ok(Found::Here(job))
    }

    /// Ends a running job once every picture has an estimate, with those: it is canceled then, and its pictures are there.
    /// Jobs that wait, or that make no pictures, go on.
    pub fn interrupt(&self, id: Uuid) {
        let running = hold(&self.0.running).get(&id).map(|running| running.worker);
        if let Some(worker) = running.and_then(|at| hold(&self.0.workers).get(at).map(|worker| worker.commands.clone()))
        {
            // A thread that is gone runs nothing.
            let _ = worker.send(Command::Interrupt(id));
        }
    }

    /// Claims nothing more, gives running jobs that much time, and puts the rest back into the queue.
    pub async fn drain(&self, time: Duration) {
        self.0.draining.store(true, Relaxed);
        let _ = tokio::time::timeout(time, self.emptied()).await;
        let rest: Vec<(Uuid, u32)> = hold(&self.0.running).iter().map(|(id, running)| (*id, running.attempt)).collect();
        for (id, attempt) in rest {
            self.take_out(id);
            if let Err(cause) = self.0.parts.store.give_back(id, attempt).await {
                tracing::error!(job = %id, %cause, "a running job could not be put back; the next start does");
            }
        }
        self.stop();
    }

    /// Waits that long for the threads to end. A process that exits while LibTorch computes or loads dies with noise.
    pub async fn join(&self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time && !hold(&self.0.threads).iter().all(std::thread::JoinHandle::is_finished) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Tells the threads to end when nothing runs any more.
    pub(super) fn stop(&self) {
        for worker in hold(&self.0.workers).iter() {
            // A thread that is gone has stopped.
            let _ = worker.commands.send(Command::Stop);
        }
    }

    fn take_out(&self, id: Uuid) {
        let Some(running) = self.remove(id) else { return };
        if let Some(worker) = hold(&self.0.workers).get(running.worker) {
            // A thread that is gone runs nothing.
            let _ = worker.commands.send(Command::Cancel(id));
        }
        self.wake();
    }

    async fn emptied(&self) {
        loop {
            let emptied = self.0.emptied.notified();
            if hold(&self.0.running).is_empty() {
                return;
            }
            emptied.await;
        }
    }
}
