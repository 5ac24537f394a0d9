//! Who waits for what: AUTOMATIC1111's clients ask for *the* progress and interrupt *the* job, without saying which. Theirs
//! are meant, the oldest first.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::runtime::Handle;
use uuid::Uuid;

use super::settings::Settings;
use crate::{app::App, job::Owner};

/// Calls that wait for their pictures, and what callers have set. Nothing of it outlives the process.
#[derive(Debug, Default)]
pub struct Desk {
    calls: Mutex<Vec<Call>>,
    settings: Mutex<HashMap<Owner, Settings>>,
}

/// One call that waits.
#[derive(Clone, Debug)]
pub struct Call {
    /// Whose it is.
    pub caller: Owner,
    /// Its job.
    pub job: Uuid,
    /// The name of the task that the client chose, or the job's id.
    pub task: String,
    /// Steps that it asked for.
    pub steps: u32,
    /// Since when it waits.
    pub since: Instant,
}

fn hold<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// The calls of a caller, the oldest first.
    pub fn calls(&self, caller: &Owner) -> Vec<Call> {
        hold(&self.calls).iter().filter(|call| call.caller == *caller).cloned().collect()
    }

    /// What a caller has set.
    pub fn settings(&self, caller: &Owner) -> Settings {
        hold(&self.settings).get(caller).cloned().unwrap_or_default()
    }

    /// Sets some of it, and keeps the rest.
    pub fn set(&self, caller: &Owner, settings: Settings) {
        let mut all = hold(&self.settings);
        let before = all.remove(caller).unwrap_or_default();
        all.insert(caller.clone(), settings.or(before));
    }
}

/// A call at the desk. Dropped before its job has ended, which is what happens when the client goes away, it cancels the job.
pub struct Seat {
    app: Arc<App>,
    job: Uuid,
    ended: bool,
}

impl Seat {
    /// Takes a seat for a call; the job of one that may come back for it is `kept` when it goes away.
    pub fn take(app: &Arc<App>, call: Call, kept: bool) -> Self {
        let job = call.job;
        hold(&app.desk.calls).push(call);
        Self { app: app.clone(), job, ended: kept }
    }

    /// The job has ended, or goes on without the call.
    pub fn leave(mut self) {
        self.ended = true;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        hold(&self.app.desk.calls).retain(|call| call.job != self.job);
        if self.ended {
            return;
        }
        let (app, job) = (self.app.clone(), self.job);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                if let Err(cause) = app.cancel(job).await {
                    tracing::warn!(%job, %cause, "a job whose client went away could not be canceled");
                }
            });
        }
    }
}
