//! What can go wrong with a cluster, told so that the reader knows what to do about it.

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

    /// The data directory was made by a major version that is not installed.
    #[error(
        "{directory} was made by PostgreSQL {needed}, and only {found} is installed; install \
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

    /// The data directory is there, and is not one of PostgreSQL.
    #[error("{directory} is not a PostgreSQL data directory: its file PG_VERSION {problem}")]
    NotADataDirectory {
        /// The data directory.
        directory: PathBuf,
        /// What is wrong with its version file.
        problem: String,
    },

    /// The data directory is there, and its password is not.
    #[error(
        "{file} is missing or empty, and {data} was made with the password in it; put the file \
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
        "{directory} is in use by another process, which did not let go of it within {waited:?}; \
         stop that process, or choose another directory"
    )]
    Locked {
        /// The directory of the cluster.
        directory: PathBuf,
        /// How long this process waited.
        waited: Duration,
    },

    /// A predecessor is gone, and its PostgreSQL is not.
    #[error(
        "a PostgreSQL of an earlier run still works in {directory} (process {process}) and did \
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

    /// The user that runs PostgreSQL cannot get to the directory.
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

    /// Started by root, and there is no other user.
    #[error(
        "PostgreSQL refuses to run as root, and there is neither a user `postgres` nor a user \
         `nobody`; create one, or start as an unprivileged user"
    )]
    NoUser,

    /// A path that PostgreSQL cannot be given.
    #[error("{path} is not valid UTF-8; choose another directory")]
    NotUnicode {
        /// The path.
        path: PathBuf,
    },

    /// `initdb` failed.
    #[error("initdb could not make {directory}: {output}")]
    Initdb {
        /// The directory that was to be made.
        directory: PathBuf,
        /// What it said.
        output: String,
    },

    /// PostgreSQL ended, or was not ready in time.
    #[error("PostgreSQL did not start: {reason}; the end of its log {log}:\n{tail}")]
    NotReady {
        /// What was seen.
        reason: String,
        /// The log file.
        log: PathBuf,
        /// The last lines of this start.
        tail: String,
    },

    /// A name that PostgreSQL would refuse or cut short.
    #[error("{name:?} cannot name a database: 1 to 63 bytes are allowed, without control characters")]
    DatabaseName {
        /// The name.
        name: String,
    },

    /// `psql` failed.
    #[error("psql could not {action}: {output}")]
    Psql {
        /// What it was asked to do.
        action: String,
        /// What it said.
        output: String,
    },

    /// PostgreSQL could not be made to end.
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
        /// What was tried.
        action: &'static str,
        /// The file, directory or program.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Names the action and the path of an I/O error: `read(&path).map_err(io("read", &path))`.
pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { action, path, source }
}
