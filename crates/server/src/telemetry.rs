//! Logging to standard error. Standard output is reserved for the line that states the listening address.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Log, LogFormat};
use crate::output::LogWriter;

/// Starts logging.
pub(crate) fn start(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level)
        .with_context(|| format!("log.level: {:?} is not a valid filter", log.level))?;
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        // It would print its own errors with a macro that panics.
        .log_internal_errors(false)
        .with_writer(|| LogWriter);
    // One filter for all layers. With a filter per layer, what `tracing::enabled!` last asked for on a thread (sqlx does) is taken for
    // the answer about the next span (tracing-subscriber 0.3.23), and requests lose their spans.
    let filtered = tracing_subscriber::registry().with(filter).with(api::DatabaseUse);
    match log.format {
        LogFormat::Human => filtered.with(lines).try_init(),
        LogFormat::Json => filtered.with(lines.json()).try_init(),
    }
    .map_err(|e| anyhow::anyhow!("cannot start logging: {e}"))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Logs a panic like anything else: the hook of the standard library would wait for a reader that stands still.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(
        panic = panic.payload_as_str().unwrap_or_default(),
        place,
        thread = std::thread::current().name().unwrap_or_default(),
        backtrace,
        "a thread panicked"
    );
}
