//! How fast each owner may go: the generic cell rate algorithm, by owner, for requests and for work.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};

type Limiter = RateLimiter<Arc<str>, DashMapStateStore<Arc<str>>, DefaultClock, StateInformationMiddleware>;

/// Owners that a limiter remembers before it forgets those that are as good as new.
const MOST_OWNERS: usize = 10_000;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// HTTP requests.
    Requests,
    /// Row evaluations of the native size.
    Work,
}

/// How an owner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// In a minute.
    pub limit: u32,
    /// What is left at once.
    pub remaining: u32,
    /// Until all of it is there again.
    pub reset: Duration,
}

/// Too fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooFast {
    /// Well, after this time.
    After(Duration),
    /// Never: it is more than a minute allows.
    Never,
}

/// The meters of all owners; those that share a limit share a limiter.
#[derive(Default)]
pub struct Meters {
    limiters: Mutex<HashMap<(Unit, NonZeroU32), Arc<Limiter>>>,
}

impl Meters {
    /// Counts `amount` of a unit against what the owner may do in a minute, all of it at once if it likes.
    ///
    /// # Errors
    /// It is too much; nothing is counted then.
    pub fn count(
        &self,
        owner: &Arc<str>,
        unit: Unit,
        per_minute: NonZeroU32,
        amount: u32,
    ) -> Result<Standing, TooFast> {
        let limiter = self.limiter(unit, per_minute);
        let amount = NonZeroU32::new(amount).unwrap_or(NonZeroU32::MIN);
        match limiter.check_key_n(owner, amount) {
            Ok(Ok(left)) => Ok(standing(per_minute, left.remaining_burst_capacity())),
            Ok(Err(not_yet)) => Err(TooFast::After(not_yet.wait_time_from(DefaultClock::default().now()))),
            Err(_) => Err(TooFast::Never),
        }
    }

    fn limiter(&self, unit: Unit, per_minute: NonZeroU32) -> Arc<Limiter> {
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || RateLimiter::keyed(Quota::per_minute(per_minute)).with_middleware();
        let limiter = limiters.entry((unit, per_minute)).or_insert_with(|| Arc::new(make()));
        if limiter.len() > MOST_OWNERS {
            limiter.retain_recent();
        }
        limiter.clone()
    }
}

fn standing(per_minute: NonZeroU32, remaining: u32) -> Standing {
    let limit = per_minute.get();
    let reset = Duration::from_secs(60).mul_f64(f64::from(limit - remaining.min(limit)) / f64::from(limit));
    Standing { limit, remaining, reset }
}
