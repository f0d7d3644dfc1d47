//! Processes that an earlier owner left running in a data directory.
//!
//! Supervisor, server and `initdb` have the data directory as their working directory. A holder of the cluster's lock
//! that finds such a process knows that it is a leftover.

use std::{fs, io::ErrorKind, path::Path, time::Duration};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::{Instant, sleep};

use crate::error::Error;

/// Waits until nothing runs in the data directory, and ends a server without supervisor. Call it only with the lock
/// held.
pub(crate) async fn wait_gone(data: &Path, wait: Duration) -> Result<(), Error> {
    let begin = Instant::now();
    while let Some(process) = first(data) {
        if begin.elapsed() >= wait {
            return Err(Error::StillRunning {
                directory: data.to_path_buf(),
                process,
                waited: wait,
            });
        }
        // Its supervisor does the same, if it still lives; a server ignores a second request. A server that cannot be
        // inspected is left alone: its pid may belong to another process by now.
        if let Some(server) = postmaster(data)
            && works_in(server, data) == Some(true)
        {
            let _ = kill_process(server, Signal::INT);
        }
        sleep(Duration::from_millis(50)).await;
    }
    // PostgreSQL takes its own old file for a running server if the pid now belongs to another process of the same
    // user, as happens in containers. No server runs here, so the file is old.
    if postmaster(data).is_some_and(|server| works_in(server, data) == Some(false)) {
        let _ = fs::remove_file(data.join("postmaster.pid"));
    }
    Ok(())
}

/// Returns whether PostgreSQL itself reports that it accepts connections: the eighth line of its pid file. A hint, as
/// the file may be an old one.
pub(crate) fn says_ready(data: &Path) -> bool {
    fs::read_to_string(data.join("postmaster.pid"))
        .is_ok_and(|text| text.lines().nth(7).is_some_and(|line| line.trim() == "ready"))
}

/// Returns the process in PostgreSQL's pid file, if it is alive.
fn postmaster(data: &Path) -> Option<Pid> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let process = Pid::from_raw(
        text.lines()
            .next()?
            .trim()
            .parse()
            .ok()
            .filter(|number| *number > 1)?,
    )?;
    // A process that may not be signalled belongs to another user, and so is not this server.
    test_kill_process(process).ok().map(|()| process)
}

/// Returns whether a process has the directory as its working directory; `None` if that cannot be determined.
fn works_in(process: Pid, data: &Path) -> Option<bool> {
    match fs::read_link(format!("/proc/{}/cwd", process.as_raw_nonzero())) {
        Ok(link) => Some(link == data),
        // It has ended, and may not be reaped, as in a container whose first process does not reap.
        Err(error) if error.kind() == ErrorKind::NotFound && Path::new("/proc/self").exists() => Some(false),
        Err(_) => None,
    }
}

/// Returns one process that runs in the directory.
fn first(data: &Path) -> Option<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let processes =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    let seen = processes
        .into_iter()
        .find(|process| works_in(*process, data) == Some(true));
    // Without /proc, or without the right to read it, the pid file decides.
    let recorded = || postmaster(data).filter(|process| works_in(*process, data).is_none());
    seen.or_else(recorded)
        .map(|process| process.as_raw_nonzero().get())
}
