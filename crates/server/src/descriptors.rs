//! File descriptors: connections get what the server itself does not need.

use std::num::NonZeroUsize;

use api::ConnectionLimits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// The number of files that the server asks the system for. More would only cost child processes, which inherit it.
const WANTED: u64 = 8192;
/// Descriptors of the server itself: logs, files of uploads and hooks, notifications, the telemetry's.
const OWN: u64 = 128;
/// Descriptors of a unit of work: pipes, output and log of a hook, and files of many rows.
const PER_WORK: u64 = 16;
/// The least number of connections, however few files the server may open.
const LEAST: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);
/// Without a setting, the part of all connections that one address may have.
const SHARE: usize = 4;

/// Raises the limit of open files as far as it is useful and allowed, and returns the limits of connections that leave
/// room for the server's own files and for its connections to the database.
pub(crate) fn connection_limits(config: &Config) -> ConnectionLimits {
    let files = raised(getrlimit(Resource::Nofile));
    let total = total(files, reserve(config), config.connections.most);
    if total < config.connections.most {
        tracing::info!(
            connections = total.get(),
            files,
            "the limit of open files (ulimit -n) allows fewer connections than http.connections"
        );
    }
    // Behind a proxy all clients have its address.
    let proxied = config.http.client_header.is_some();
    let per_address = match config.connections.per_address {
        Some(most) => NonZeroUsize::new(most),
        None if proxied => None,
        None => NonZeroUsize::new((total.get() / SHARE).max(1)),
    };
    ConnectionLimits {
        total,
        per_address,
        head: config.connections.head,
        idle: config.connections.idle,
        write: config.connections.reader,
    }
}

/// Returns the number of descriptors that connections must leave. A pool may open connections while it closes others.
fn reserve(config: &Config) -> u64 {
    OWN + 2 * u64::from(config.max_connections) + PER_WORK * u64::from(config.worker.concurrency)
}

/// Returns how many connections there may be with this many files.
fn total(files: Option<u64>, reserve: u64, most: NonZeroUsize) -> NonZeroUsize {
    let Some(files) = files else { return most };
    let left = usize::try_from(files.saturating_sub(reserve)).unwrap_or(usize::MAX);
    NonZeroUsize::new(left)
        .map_or(LEAST, |left| left.max(LEAST))
        .min(most)
}

/// Raises the limit and returns what then holds; `None` means no limit.
fn raised(limit: Rlimit) -> Option<u64> {
    let current = limit.current?;
    let wanted = limit.maximum.map_or(WANTED, |most| most.min(WANTED));
    if current >= wanted {
        return Some(current);
    }
    let more = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, more) {
        Ok(()) => Some(wanted),
        Err(error) => {
            tracing::debug!(%error, "the limit of open files cannot be raised");
            Some(current)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves ISO-5
    #[test]
    fn connections_leave_room_for_the_servers_own_files() {
        let most = NonZeroUsize::new(4096).unwrap();
        let of = |files| total(files, 200, most).get();
        assert_eq!(of(Some(1024)), 824);
        assert_eq!(of(Some(100_000)), 4096);
        assert_eq!(of(Some(64)), 16);
        assert_eq!(of(None), 4096);
    }
}
