//! The shell that runs PostgreSQL and ends it when this process is gone.

use std::{
    fs::File,
    io::{PipeWriter, Write},
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{Child, ChildStdin},
    time::{Instant, sleep},
};

use crate::{
    account::Account,
    error::{Error, io},
};

const SCRIPT: &str = include_str!("supervisor.sh");
/// The maximum time of an immediate shutdown and of a kill; neither waits for clients.
const AT_ONCE: Duration = Duration::from_secs(10);

/// The parameters of the shell besides the command of PostgreSQL.
pub(crate) struct Plan<'a> {
    /// The data directory.
    pub(crate) data: &'a Path,
    /// The log, for the output of shell and server.
    pub(crate) log: File,
    /// How long a fast shutdown may take when the owner is gone.
    pub(crate) grace: Duration,
    /// A socket directory to remove at the end.
    pub(crate) socket: Option<&'a str>,
    /// A directory to remove at the end, with all that is in it.
    pub(crate) remove: Option<&'a Path>,
}

/// The running shell. When it is dropped, it closes the pipe, and the shell stops PostgreSQL.
#[derive(Debug)]
pub(crate) struct Supervisor {
    child: Child,
    orders: Option<PipeWriter>,
    group: u32,
}

impl Supervisor {
    /// Starts `postgres` with these arguments.
    pub(crate) fn spawn(
        plan: Plan<'_>,
        account: &Account,
        postgres: &Path,
        arguments: &[String],
    ) -> Result<Self, Error> {
        let shell = Path::new("/bin/sh");
        let log = plan.log.try_clone().map_err(io("open the log of", plan.data))?;
        let mut child = account
            .command(shell, plan.data)
            .args(["-c", SCRIPT, "pg-cluster"])
            .arg((plan.grace.as_secs() + 1).to_string())
            .arg(plan.socket.unwrap_or_default())
            .arg(plan.remove.unwrap_or(Path::new("")))
            .arg(postgres)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(plan.log)
            .spawn()
            .map_err(io("run", shell))?;
        let group = child.id().unwrap_or_default();
        // A plain pipe, as one of tokio's is of no use when the runtime that made it has ended.
        let orders = child.stdin.take().map(ChildStdin::into_owned_fd).transpose();
        let orders = orders
            .map_err(io("hold the pipe to", shell))?
            .map(PipeWriter::from);
        Ok(Self { child, orders, group })
    }

    /// Returns how PostgreSQL has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until PostgreSQL has ended without being stopped.
    pub(crate) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends PostgreSQL: fast (clients are disconnected, all is written), after `wait` immediately (the next start
    /// recovers), at last by SIGKILL.
    pub(crate) async fn stop(mut self, wait: Duration) -> Result<(), Error> {
        for (order, wait) in [("fast\n", wait), ("immediate\n", AT_ONCE)] {
            if let Some(orders) = &mut self.orders {
                // A few bytes never block. A shell that has ended accepts no orders; that shows below.
                let _ = orders.write_all(order.as_bytes());
            }
            if self.ends_within(wait).await {
                return Ok(());
            }
            tracing::warn!(order = order.trim(), ?wait, "PostgreSQL did not end in time");
        }
        if let Some(group) = i32::try_from(self.group).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        if self.ends_within(AT_ONCE).await {
            return Ok(());
        }
        Err(Error::NotStopped { group: self.group })
    }

    /// Polls, because a runtime other than the one that started it gets no notification.
    async fn ends_within(&mut self, wait: Duration) -> bool {
        let end = Instant::now() + wait;
        loop {
            if let Some(status) = self.ended() {
                tracing::debug!(%status, "PostgreSQL has ended");
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}
