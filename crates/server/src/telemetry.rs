//! Logging to standard error. Standard output is reserved for the line that states the listening address.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::config::{Log, LogFormat};

/// Starts logging.
pub(crate) fn start(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level)
        .with_context(|| format!("log.level: {:?} is not a valid filter", log.level))?;
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match log.format {
        LogFormat::Human => Box::new(lines.with_filter(filter)),
        LogFormat::Json => Box::new(lines.json().with_filter(filter)),
    };
    // Counts the database use of a request for every log level.
    let counted = api::DatabaseUse.with_filter(filter_fn(api::DatabaseUse::needs));
    tracing_subscriber::registry()
        .with(lines)
        .with(counted)
        .try_init()
        .map_err(|e| anyhow::anyhow!("cannot start logging: {e}"))
}
