//! The options of a cluster.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;
use crate::{directory, endpoint};

/// How durable a cluster's data are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Committed data survive a crash of the machine: PostgreSQL's own defaults.
    #[default]
    Durable,
    /// Nothing is flushed to disk. A crash of a process loses nothing that matters to a test; a
    /// crash of the machine may lose the whole cluster. Several times faster, for tests.
    Throwaway,
}

/// Where to look for the programs of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BinarySearch {
    /// The directories of `PATH` in their order; then, highest version first,
    /// `/usr/lib/postgresql/*/bin`, `/usr/pgsql-*/bin`, `/opt/homebrew/opt/postgresql*/bin` and
    /// `/usr/local/opt/postgresql*/bin`. With the feature `fetch`, at last a download.
    #[default]
    System,
    /// These directories only, in this order, and never a download.
    Only(Vec<PathBuf>),
}

/// How to start a [`Cluster`](crate::Cluster). Begin with [`Options::new`] or
/// [`Options::temporary`], and change what you need:
///
/// ```
/// use pg_cluster::Options;
/// let options = Options { max_connections: 200, ..Options::new("/var/lib/hallmark/postgres") };
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory that belongs to the cluster: data, password, log, socket and lock are inside. Created if
    /// missing, with its parent directories.
    pub directory: PathBuf,
    /// The maximum number of connected clients. Default: 100.
    pub max_connections: u32,
    /// Memory for PostgreSQL's own cache of pages, with a unit: `128MB` (the default), `1GB`.
    pub shared_buffers: String,
    /// How durable the data are. Default: [`Durability::Durable`].
    pub durability: Durability,
    /// More settings of `postgresql.conf`, as name and value. They override all others except those of the port and
    /// the socket, which the URL depends on.
    pub settings: Vec<(String, String)>,
    /// Where to look for the programs. Default: [`BinarySearch::System`].
    pub binaries: BinarySearch,
    /// How long to wait for a predecessor in the same directory: first for its lock, then for its
    /// PostgreSQL to end. Default: 30 seconds for each.
    pub lock_wait: Duration,
    /// How long PostgreSQL may take until it accepts connections, crash recovery included.
    /// Default: 60 seconds.
    pub start_timeout: Duration,
    /// How long [`Cluster::stop`](crate::Cluster::stop) waits for a fast shutdown before it asks
    /// for an immediate one, which the next start recovers from. The supervisor waits as long
    /// (rounded up to seconds) when this process is gone. Default: 30 seconds.
    pub stop_timeout: Duration,
    /// Uids that other programs run as. Started by root, PostgreSQL never runs as one of them. Default: none.
    pub taken_uids: Range<u32>,
    /// Whether `directory` WITH ALL THAT IS IN IT is deleted when PostgreSQL has ended for any reason: stopped,
    /// dropped or orphaned. Default: `false`.
    pub remove_when_stopped: bool,
}

impl Options {
    /// Returns the options of a durable cluster in `directory`, which is kept.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            max_connections: 100,
            shared_buffers: "128MB".to_owned(),
            durability: Durability::Durable,
            settings: Vec::new(),
            binaries: BinarySearch::System,
            lock_wait: Duration::from_secs(30),
            start_timeout: Duration::from_mins(1),
            stop_timeout: Duration::from_secs(30),
            taken_uids: 0..0,
            remove_when_stopped: false,
        }
    }

    /// Returns the options of a cluster for tests in `directory`, which is kept: nothing is flushed to disk.
    pub fn throwaway(directory: impl Into<PathBuf>) -> Self {
        Self {
            durability: Durability::Throwaway,
            ..Self::new(directory)
        }
    }

    /// Returns the options of a cluster for tests in a new directory under the system's temporary directory. It is
    /// deleted when PostgreSQL has ended, even without a call of `stop`: so it may live in a `static` that is never
    /// dropped.
    ///
    /// # Errors
    /// [`Error::Io`] if the system has no random numbers for its name.
    pub fn temporary() -> Result<Self, Error> {
        let name = format!("pg-cluster-{}", directory::random_hex(8)?);
        Ok(Self {
            remove_when_stopped: true,
            ..Self::throwaway(std::env::temp_dir().join(name))
        })
    }

    /// Returns the settings for the command line of `postgres`; of two with one name, the last counts.
    pub(crate) fn settings_for(&self, socket_directory: &str) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = [
            // Clients connect by the socket alone, so a server on port 5432 does not interfere.
            ("listen_addresses", ""),
            ("logging_collector", "off"),
            ("log_destination", "stderr"),
            ("password_encryption", "scram-sha-256"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        all.push(("max_connections".to_owned(), self.max_connections.to_string()));
        all.push(("shared_buffers".to_owned(), self.shared_buffers.clone()));
        if self.durability == Durability::Throwaway {
            for name in ["fsync", "synchronous_commit", "full_page_writes"] {
                all.push((name.to_owned(), "off".to_owned()));
            }
        }
        all.extend(self.settings.iter().cloned());
        // Last, as the URL depends on them. The port is only part of the socket's name.
        all.push(("port".to_owned(), endpoint::PORT.to_string()));
        all.push(("unix_socket_permissions".to_owned(), "0700".to_owned()));
        // A list; quotes make it one path with any characters.
        let quoted = format!("\"{}\"", socket_directory.replace('"', "\"\""));
        all.push(("unix_socket_directories".to_owned(), quoted));
        all
    }

    /// Returns the directory as an absolute path.
    pub(crate) fn absolute(&self) -> io::Result<PathBuf> {
        std::path::absolute(&self.directory)
    }
}
