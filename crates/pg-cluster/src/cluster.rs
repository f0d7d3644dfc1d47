//! A running cluster.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::account::Account;
use crate::binaries::Binaries;
use crate::directory::{self, Directory};
use crate::error::{Error, io};
use crate::options::{BinarySearch, Options};
use crate::psql::Psql;
use crate::socket::SocketDirectory;
use crate::supervisor::{Plan, Supervisor};
use crate::{endpoint, initdb, occupants};

/// Creates a database unless it exists.
const CREATE: &str = r"SELECT format('CREATE DATABASE %I', :'name')
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
";

/// A running PostgreSQL that belongs to this process.
///
/// If dropped without [`Cluster::stop`], PostgreSQL still stops (a fast shutdown), but the drop does not wait for
/// that. The same holds when this process is killed.
#[derive(Debug)]
pub struct Cluster {
    // Before the lock: dropped first, so that the next owner finds the server shutting down.
    supervisor: Supervisor,
    psql: Psql,
    directory: Directory,
    major: u32,
    lock_wait: Duration,
    stop_timeout: Duration,
    remove_when_stopped: bool,
    lock: File,
}

/// Returns the programs for the data directory `data`, which may not exist yet: installed ones, or, with the feature
/// `fetch`, a download.
async fn programs(search: &BinarySearch, data: &Path, directory: &Directory) -> Result<Binaries, Error> {
    let found = Binaries::find(search, data).await;
    #[cfg(feature = "fetch")]
    if *search == BinarySearch::System
        && matches!(
            found,
            Err(Error::BinariesMissing { .. } | Error::VersionMissing { .. })
        )
    {
        let needed = crate::binaries::version_of(data)?;
        return crate::fetch::fetch(needed, &directory.root().join("postgresql")).await;
    }
    #[cfg(not(feature = "fetch"))]
    let _ = directory;
    found
}

impl Cluster {
    /// Starts PostgreSQL in a directory, which is created if missing, and waits until it accepts connections. Needs a
    /// tokio runtime with I/O and time.
    ///
    /// Waits for a predecessor in the same directory, for [`Options::lock_wait`]. Dropping the future is safe at any
    /// point: started work is ended, or cleaned up by the next start.
    ///
    /// # Errors
    /// Names what is missing: see [`Error`]. Nothing is left running.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let wanted = options.absolute().map_err(io("find", &options.directory))?;
        let account = Account::choose(&wanted.join("data"), &options.taken_uids).await?;
        let root = account.make_reachable(&wanted).await?;
        let directory = Directory::new(root);
        let lock = directory.lock(options.lock_wait).await?;
        let data = directory.data();
        let binaries = programs(&options.binaries, &data, &directory).await?;
        let password = directory.password()?;
        if data.exists() {
            occupants::wait_gone(&data, options.lock_wait).await?;
            account.take_over(&data)?;
        }
        initdb::ensure(
            &directory,
            &account,
            &binaries,
            options.durability,
            &password,
            options.lock_wait,
        )
        .await?;

        let (log, log_begin) = directory.open_log()?;
        let socket_directory = SocketDirectory::make(&directory, &account).await?;
        if options.remove_when_stopped {
            // The supervisor removes it, as the user that PostgreSQL runs as.
            account.own(directory.root())?;
        }
        let mut arguments = vec!["-D".to_owned(), unicode(&data)?];
        for (name, value) in options.settings_for(&socket_directory.path) {
            arguments.extend(["-c".to_owned(), format!("{name}={value}")]);
        }
        let plan = Plan {
            data: &data,
            log,
            grace: options.stop_timeout,
            socket: socket_directory.outside.then_some(&*socket_directory.path),
            remove: options.remove_when_stopped.then_some(directory.root()),
        };
        let supervisor = Supervisor::spawn(plan, &account, &binaries.program("postgres"), &arguments)?;
        let mut cluster = Self {
            supervisor,
            psql: Psql {
                program: binaries.program("psql"),
                socket_directory: socket_directory.path,
                password,
            },
            directory,
            major: binaries.major(),
            lock_wait: options.lock_wait,
            stop_timeout: options.stop_timeout,
            remove_when_stopped: options.remove_when_stopped,
            lock,
        };
        if let Err(reason) = cluster.wait_ready(options.start_timeout).await {
            let (log, tail) = (cluster.directory.log(), cluster.directory.log_tail(log_begin));
            // The reason why it did not start is worth more than the one why it did not stop.
            let _ = cluster.stop().await;
            return Err(Error::NotReady { reason, log, tail });
        }
        tracing::info!(directory = %cluster.directory.root().display(), major = cluster.major, "PostgreSQL runs");
        Ok(cluster)
    }

    /// Returns the URL of a database of this cluster, existing or not, for libpq programs (psql, pgbench) and sqlx.
    /// It contains the superuser's password: do not log it.
    pub fn url(&self, database: &str) -> String {
        self.url_as(endpoint::ROLE, &self.psql.password, database)
    }

    /// Returns the URL of a database for another role than the superuser, existing or not. It contains the password: do
    /// not log it.
    pub fn url_as(&self, role: &str, password: &str, database: &str) -> String {
        endpoint::url(&self.psql.socket_directory, role, password, database)
    }

    /// Returns the directory of the unix socket.
    pub fn socket_directory(&self) -> &Path {
        Path::new(&self.psql.socket_directory)
    }

    /// Returns the directory of the cluster, as a canonical path.
    pub fn directory(&self) -> &Path {
        self.directory.root()
    }

    /// Returns the file that PostgreSQL writes its log to.
    pub fn log(&self) -> PathBuf {
        self.directory.log()
    }

    /// Returns the last lines of the log.
    pub fn log_tail(&self) -> String {
        self.directory.log_tail(0)
    }

    /// Returns the major version of PostgreSQL, such as 15.
    pub fn major_version(&self) -> u32 {
        self.major
    }

    /// Creates a database unless it exists. Concurrent calls with one name are safe.
    ///
    /// # Errors
    /// [`Error::DatabaseName`] when the name is empty, longer than 63 bytes or has control
    /// characters; [`Error::Psql`] when PostgreSQL refuses.
    pub async fn ensure_database(&self, name: &str) -> Result<(), Error> {
        // PostgreSQL would truncate a longer name, and find nothing under the whole name.
        if name.is_empty() || name.len() > 63 || name.contains(char::is_control) {
            return Err(Error::DatabaseName {
                name: name.to_owned(),
            });
        }
        let mut last = String::new();
        // A caller that loses a race for the name gets an error, and finds the database at the second try.
        for _ in 0..3 {
            match self.psql.run(&[("name", name)], CREATE).await {
                Ok(()) => return Ok(()),
                Err(output) => last = output,
            }
        }
        Err(Error::Psql {
            action: format!("create the database {name:?}"),
            output: last,
        })
    }

    /// Waits until PostgreSQL ends without being stopped, which is a crash. Safe to drop, and to call again. Works
    /// only in the runtime that started the cluster; all other methods work in any.
    ///
    /// # Errors
    /// [`Error::Io`] if the system call fails.
    pub async fn wait(&mut self) -> Result<ExitStatus, Error> {
        self.supervisor
            .wait()
            .await
            .map_err(io("wait for PostgreSQL in", self.directory.root()))
    }

    /// Stops PostgreSQL and waits for its end: a fast shutdown, which disconnects the clients and writes everything;
    /// after [`Options::stop_timeout`] an immediate one, which the next start recovers from; at last SIGKILL.
    ///
    /// # Errors
    /// [`Error::NotStopped`] or [`Error::StillRunning`] if it still runs then; [`Error::Io`] if the directory is to
    /// be removed and cannot be.
    pub async fn stop(self) -> Result<(), Error> {
        self.supervisor.stop(self.stop_timeout).await?;
        // Usually this finds nothing, but the supervisor may have been killed.
        occupants::wait_gone(&self.directory.data(), self.lock_wait).await?;
        if self.remove_when_stopped {
            directory::remove_tree(self.directory.root()).await?;
        }
        drop(self.lock);
        Ok(())
    }

    /// Waits until a client gets a response. The error is the reason why none did.
    async fn wait_ready(&mut self, wait: Duration) -> Result<(), String> {
        let end = Instant::now() + wait;
        let mut last = "it does not accept connections yet".to_owned();
        while Instant::now() < end {
            if let Some(status) = self.supervisor.ended() {
                return Err(format!("it ended at once ({status})"));
            }
            if occupants::says_ready(&self.directory.data()) {
                match timeout_at(end, self.psql.run(&[], "SELECT 1;")).await {
                    Ok(Ok(())) => return Ok(()),
                    // A wrong password will stay wrong.
                    Ok(Err(output)) if output.contains("authentication failed") => return Err(output),
                    Ok(Err(output)) => last = output,
                    Err(_) => "psql got no response".clone_into(&mut last),
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
        Err(format!("not ready after {wait:?}: {last}"))
    }
}

fn unicode(path: &Path) -> Result<String, Error> {
    path.to_str()
        .map(ToOwned::to_owned)
        .ok_or_else(|| Error::NotUnicode {
            path: path.to_path_buf(),
        })
}
