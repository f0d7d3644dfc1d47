//! What can go wrong with a cluster, with the remedy.

use std::{io, path::PathBuf, time::Duration};

/// Why a cluster could not be started, used or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no directory with `initdb`, `postgres` and `psql`.
    #[error(
        "no PostgreSQL binaries found (initdb, postgres and psql): looked in {looked}; install \
         PostgreSQL (the Debian package `postgresql`), or give DATABASE_URL to use a server that \
         runs already"
    )]
    BinariesMissing {
        /// The places that were searched, for people.
        looked: String,
    },

    /// The data directory was created by a major version that is not installed.
    #[error(
        "{directory} was created by PostgreSQL {needed}, and only {found} is installed; install \
         PostgreSQL {needed} (the Debian package `postgresql-{needed}`), or move the data with \
         pg_upgrade"
    )]
    VersionMissing {
        /// The data directory.
        directory: PathBuf,
        /// The major version that it needs.
        needed: u32,
        /// The versions that were found, for people.
        found: String,
    },

    /// The directory exists, and is not a data directory of PostgreSQL.
    #[error("{directory} is not a PostgreSQL data directory: its file PG_VERSION {problem}")]
    NotADataDirectory {
        /// The data directory.
        directory: PathBuf,
        /// What is wrong with its version file.
        problem: String,
    },

    /// The data directory exists, and its password does not.
    #[error(
        "{file} is missing or empty, and {data} was created with the password in it; put the file \
         back, or move {data} away to begin with an empty database"
    )]
    PasswordMissing {
        /// The password file.
        file: PathBuf,
        /// The data directory.
        data: PathBuf,
    },

    /// Another process uses the directory.
    #[error(
        "{directory} is in use by another process, which did not release it within {waited:?}; \
         stop that process, or choose another directory"
    )]
    Locked {
        /// The directory of the cluster.
        directory: PathBuf,
        /// How long this process waited.
        waited: Duration,
    },

    /// A predecessor has ended, and its PostgreSQL has not.
    #[error(
        "a PostgreSQL of an earlier run still runs in {directory} (process {process}) and did \
         not end within {waited:?}; stop it with `kill -INT {process}`"
    )]
    StillRunning {
        /// The data directory.
        directory: PathBuf,
        /// One of the processes.
        process: i32,
        /// How long this process waited.
        waited: Duration,
    },

    /// The pid file of PostgreSQL is empty or garbled, and this system does not show whether a server runs.
    #[error(
        "{file} is empty or garbled, as after a power cut, and this system does not list its \
         processes; make sure that no PostgreSQL runs in the directory, and remove the file"
    )]
    PidFileUnreadable {
        /// The pid file.
        file: PathBuf,
    },

    /// The user that runs PostgreSQL cannot enter the directory.
    #[error(
        "the user `{user}` cannot enter {ancestor}, and so cannot use {directory}; PostgreSQL \
         refuses to run as root, so a cluster started by root runs as `{user}`: choose a directory \
         elsewhere (such as /var/lib/hallmark), or `chmod o+x {ancestor}`, or start as an \
         unprivileged user"
    )]
    NotReachable {
        /// The directory of the cluster.
        directory: PathBuf,
        /// The directory on the way that cannot be entered.
        ancestor: PathBuf,
        /// The user that was tried.
        user: String,
    },

    /// Started by root, and there is no user for PostgreSQL alone.
    #[error(
        "PostgreSQL refuses to run as root, there is no user `postgres`, and the user \
         `hallmark-postgres` could not be made; create one of them with a uid that nothing else uses \
         (`useradd --system postgres`), or start as an unprivileged user"
    )]
    NoUser,

    /// A path that cannot be passed to PostgreSQL.
    #[error("{path} is not valid UTF-8; choose another directory")]
    NotUnicode {
        /// The path.
        path: PathBuf,
    },

    /// `initdb` failed.
    #[error("initdb could not create {directory}: {output}")]
    Initdb {
        /// The directory to create.
        directory: PathBuf,
        /// Its output.
        output: String,
    },

    /// PostgreSQL ended, or was not ready in time.
    #[error("PostgreSQL did not start: {reason}; the end of its log {log}:\n{tail}")]
    NotReady {
        /// The observed problem.
        reason: String,
        /// The log file.
        log: PathBuf,
        /// The last lines of this start.
        tail: String,
    },

    /// A name that PostgreSQL would refuse or truncate.
    #[error("{name:?} cannot name a database: 1 to 63 bytes are allowed, without control characters")]
    DatabaseName {
        /// The name.
        name: String,
    },

    /// `psql` failed.
    #[error("psql could not {action}: {output}")]
    Psql {
        /// The action that it was to perform.
        action: String,
        /// Its output.
        output: String,
    },

    /// PostgreSQL could not be ended.
    #[error("PostgreSQL (process group {group}) did not end, not even when killed")]
    NotStopped {
        /// The process group of the server.
        group: u32,
    },

    /// The last resort, a download, failed (feature `fetch`).
    #[error("no PostgreSQL binaries are installed, and they could not be downloaded: {reason}")]
    Fetch {
        /// What went wrong.
        reason: String,
    },

    /// The operating system refused something.
    #[error("cannot {action} {path}")]
    Io {
        /// The attempted action.
        action: &'static str,
        /// The file, directory or program.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

/// Names the action and the path of an I/O error: `read(&path).map_err(io("read", &path))`.
pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { action, path, source }
}
