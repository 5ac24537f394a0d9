//! How much memory a forward takes on a processor, and whether it is there. A processor promises memory that it does not
//! have and kills the process that uses it, so that a forward must not begin that does not fit.

use std::{collections::HashMap, fs};

use crate::{
    ask::{Stage, Wrt},
    error::{Failure, Result},
};

/// Forwards below this many bytes are begun without a look at what is free.
const SMALL: f64 = 64e6;
/// A forward this many times the greatest that was watched is watched too.
const GROWN: f64 = 2.0;

/// What forwards are told apart by: the stage, and in what a gradient is taken, which holds on to every layer's numbers.
pub type Work = (Stage, Option<Wrt>);

/// What forwards of one model take, by measurement. Sizes are rows times the area over the native one.
#[derive(Debug, Default)]
pub struct Memory {
    /// The greatest size measured and its bytes for each unit of size.
    known: HashMap<Work, Measured>,
    /// Resident bytes before the first forward; what is above them later, the next forward can have again.
    settled: f64,
    /// Bytes that forwards may take; 0: whatever is free.
    limit: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    size: f64,
    bytes: f64,
}

impl Memory {
    /// Nothing measured yet. `megabytes` bounds what a forward may take; 0 leaves that to the machine.
    pub fn new(megabytes: u64) -> Self {
        Self { limit: megabytes as f64 * 1e6, ..Self::default() }
    }

    /// Runs a forward where it fits into memory, and watches what it takes where it is the greatest so far by far: what
    /// a process needs once for all its forwards weighs less in a great one.
    ///
    /// # Errors
    /// Out of memory, with how much is needed and how much there is; and those of `forward`.
    pub fn run<T>(&mut self, work: Work, size: f64, forward: impl FnOnce() -> Result<T>) -> Result<T> {
        let known = self.known.get(&work).copied().unwrap_or_default();
        let need = known.bytes * size;
        if need > SMALL || self.limit > 0.0 {
            self.admit(need)?;
        }
        if size >= GROWN * known.size {
            return self.watch(work, size, forward);
        }
        forward()
    }

    /// Bytes for each unit of size.
    pub fn of(&self, work: Work) -> f64 {
        self.known.get(&work).map_or(0.0, |known| known.bytes)
    }

    fn watch<T>(&mut self, work: Work, size: f64, forward: impl FnOnce() -> Result<T>) -> Result<T> {
        // Resets the greatest resident size; where the system does not have that, the start's counts, which is more.
        let _ = fs::write("/proc/self/clear_refs", "5");
        if self.settled == 0.0 {
            self.settled = own("VmRSS:");
        }
        let done = forward()?;
        let bytes = (own("VmHWM:") - self.settled).max(0.0) / size;
        self.known.insert(work, Measured { size, bytes });
        Ok(done)
    }

    fn admit(&self, need: f64) -> Result<()> {
        let free = free() + (own("VmRSS:") - self.settled).max(0.0);
        let have = if self.limit > 0.0 { free.min(self.limit) } else { free };
        if need <= have {
            return Ok(());
        }
        let (need, have) = (need / 1e6, have / 1e6);
        Err(Failure::OutOfMemory(format!("a forward needs about {need:.0} MB and {have:.0} MB are free")))
    }
}

/// Bytes that the machine or the control group of this process still has; without bound where neither says so.
fn free() -> f64 {
    let machine = field(&read("/proc/meminfo"), "MemAvailable:").unwrap_or(f64::INFINITY);
    let number = |path: &str| read(path).trim().parse::<f64>().ok();
    let group = number("/sys/fs/cgroup/memory.max").zip(number("/sys/fs/cgroup/memory.current"));
    machine.min(group.map_or(f64::INFINITY, |(most, current)| most - current + reclaimable()))
}

/// Bytes of files that the control group holds and gives up at once.
fn reclaimable() -> f64 {
    let text = read("/sys/fs/cgroup/memory.stat");
    let line = text.lines().find_map(|line| line.strip_prefix("inactive_file "));
    line.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0.0)
}

/// A number about this process, in bytes.
fn own(name: &str) -> f64 {
    field(&read("/proc/self/status"), name).unwrap_or(0.0)
}

/// Bytes in a line `name: 123 kB`.
fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
