//! Logs: text for people or JSON for machines, and who did what in a file of its own.

use std::{
    any::Any,
    fs::{File, OpenOptions},
    io::{self, IsTerminal},
    panic,
    path::Path,
    sync::Mutex,
};

use anyhow::Context;
use tracing::Metadata;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::filter_fn,
    fmt,
    layer::{Layered, SubscriberExt},
    util::SubscriberInitExt,
};

use crate::config::{Log, LogFormat};

/// Lines of the audit log have this target.
pub const AUDIT: &str = "audit";

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts logging to standard error, and to `log.audit_file`. Panics, caught or not, are logged once, here.
///
/// # Errors
/// A filter that does not parse, a file that cannot be opened, or logging that was started before.
pub fn start(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level)?;
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let lines: Boxed = match log.format {
        LogFormat::Text => lines.with_filter(filter).with_filter(filter_fn(|about| !audit(about))).boxed(),
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false);
            lines.with_filter(filter).with_filter(filter_fn(|about| !audit(about))).boxed()
        }
    };
    let layers: Layered<Vec<Boxed>, Registry> = Registry::default().with(match audit_file(&log.audit_file)? {
        Some(file) => vec![lines, to(file)],
        None => vec![lines],
    });
    layers.try_init()?;
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(message = "panic", cause = words(info.payload()), place);
    }));
    Ok(())
}

fn audit(about: &Metadata<'_>) -> bool {
    about.target() == AUDIT
}

/// The file, opened to append; none where none is named.
fn audit_file(path: &Path) -> anyhow::Result<Option<File>> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let file = OpenOptions::new().create(true).append(true).open(path);
    Ok(Some(file.with_context(|| format!("log.audit_file {}", path.display()))?))
}

fn to(file: File) -> Boxed {
    let lines = fmt::layer().json().flatten_event(true).with_current_span(false).with_span_list(false);
    lines.with_writer(Mutex::new(file)).with_filter(filter_fn(audit)).boxed()
}

/// What a panic said.
pub fn words(payload: &dyn Any) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no words")
}
