//! Logging to standard error. Standard output is reserved for the line that states the listening address.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Log, LogFormat};

/// Starts logging.
pub(crate) fn start(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level)
        .with_context(|| format!("log.level: {:?} is not a valid filter", log.level))?;
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // One filter for all layers. With a filter per layer, what `tracing::enabled!` last asked for on a thread (sqlx does) is taken for
    // the answer about the next span (tracing-subscriber 0.3.23), and requests lose their spans.
    let filtered = tracing_subscriber::registry().with(filter).with(api::DatabaseUse);
    match log.format {
        LogFormat::Human => filtered.with(lines).try_init(),
        LogFormat::Json => filtered.with(lines.json()).try_init(),
    }
    .map_err(|e| anyhow::anyhow!("cannot start logging: {e}"))
}
