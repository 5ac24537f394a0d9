//! Places at which a test may kill the process. Builds without debug assertions (`dist`) have none.
//!
//! `DARKROOM_FAILPOINTS="after_claim=abort;after_blob=abort@3;crash_prompt=abort:some text"` aborts at the first passage
//! of `after_claim`, at the third of `after_blob`, and at every passage of `crash_prompt` whose value is `some text`.

#[cfg(debug_assertions)]
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// Passes a place of that name.
pub fn hit(name: &str) {
    hit_with(name, "");
}

/// Passes a place of that name with a value that the test may be waiting for.
#[cfg(debug_assertions)]
pub fn hit_with(name: &str, value: &str) {
    let armed = armed().iter().find(|point| point.name == name);
    if armed.is_some_and(|point| point.fires(value)) {
        eprintln!("failpoint {name}: abort");
        std::process::abort();
    }
}

/// Passes a place of that name with a value; nothing listens in this build.
#[cfg(not(debug_assertions))]
pub fn hit_with(_name: &str, _value: &str) {}

#[cfg(debug_assertions)]
struct Point {
    name: String,
    value: Option<String>,
    left: AtomicU64,
}

#[cfg(debug_assertions)]
impl Point {
    /// Reads `name=abort`, `name=abort@count` or `name=abort:value`.
    fn read(spec: &str) -> Option<Self> {
        let (name, action) = spec.split_once('=')?;
        let rest = action.strip_prefix("abort")?;
        let value = rest.strip_prefix(':').map(str::to_owned);
        let count = rest.strip_prefix('@').map_or(Some(1), |count| count.parse().ok())?;
        Some(Self { name: name.trim().to_owned(), value, left: AtomicU64::new(count) })
    }

    fn fires(&self, value: &str) -> bool {
        match &self.value {
            Some(wanted) => wanted == value,
            None => self.left.fetch_sub(1, Ordering::Relaxed) == 1,
        }
    }
}

#[cfg(debug_assertions)]
fn armed() -> &'static [Point] {
    static ARMED: OnceLock<Vec<Point>> = OnceLock::new();
    ARMED.get_or_init(|| {
        let specs = std::env::var("DARKROOM_FAILPOINTS").unwrap_or_default();
        let read =
            |spec: &str| Point::read(spec).unwrap_or_else(|| panic!("DARKROOM_FAILPOINTS: cannot read `{spec}`"));
        specs.split(';').filter(|spec| !spec.trim().is_empty()).map(read).collect()
    })
}
