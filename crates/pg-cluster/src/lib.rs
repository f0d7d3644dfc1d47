//! A private PostgreSQL cluster in a directory.
//!
//! For a server that brings its own database, and for tests that need a real one. PostgreSQL itself must be
//! installed; this crate finds it, creates the data directory, starts the server, and ends it.
//!
//! ```no_run
//! # async fn example() -> Result<(), pg_cluster::Error> {
//! use pg_cluster::{Cluster, Options};
//! let cluster = Cluster::start(Options::new("/var/lib/hallmark/postgres")).await?;
//! cluster.ensure_database("hallmark").await?;
//! let url = cluster.url("hallmark"); // for sqlx, psql, pgbench
//! # drop(url);
//! cluster.stop().await?;
//! # Ok(()) }
//! ```
//!
//! Guarantees:
//!
//! - **No TCP.** The server listens on a unix socket in a directory that only its user (and root) can enter, and
//!   requires a random password. Another PostgreSQL on port 5432 does not interfere.
//! - **No orphans.** A small shell holds the other end of a pipe and stops the server when this process ends, even by
//!   SIGKILL. The next start waits for that.
//! - **One owner.** A lock file guards the directory.
//! - **No half-made clusters.** `initdb` works in a directory beside, which is renamed at the end.
//! - **Not as root, and not as anything else.** Started by root, the server runs as `postgres`, else as
//!   `hallmark-postgres`, which is made if it is missing. Data that an earlier version ran as `nobody` are given to that
//!   user. Only the server's user and root get through the directory.
//!
//! The server has its own process group, so Ctrl-C in a terminal does not reach it. Under systemd, use
//! `KillMode=mixed`: the default sends SIGTERM to the server as well, which then refuses new connections while its
//! owner still drains.
//!
//! The feature `fetch` downloads binaries if none are installed. It needs the network, and puts them into the
//! directory of the cluster.
//!
//! # The directory
//!
//! | Name | What |
//! | --- | --- |
//! | `data/` | PostgreSQL's data directory |
//! | `data.init/` | the same while `initdb` works; a leftover is removed |
//! | `password` | the password of the superuser `hallmark`, mode 0600 |
//! | `lock` | locked while an owner lives |
//! | `postgres.log` | what the server writes; set aside as `postgres.log.1` at 10 MiB, at a start |
//! | `socket/` | the unix socket, unless the path is too long for one (or has a comma): then under `/tmp` |
//! | `postgresql/` | downloaded binaries, feature `fetch` |
#![forbid(unsafe_code)]

mod account;
mod binaries;
mod cluster;
mod directory;
mod endpoint;
mod error;
#[cfg(feature = "fetch")]
mod fetch;
mod initdb;
mod occupants;
mod options;
mod psql;
mod socket;
mod supervisor;

pub use cluster::Cluster;
pub use endpoint::ROLE;
pub use error::Error;
pub use options::{BinarySearch, Durability, Options};
