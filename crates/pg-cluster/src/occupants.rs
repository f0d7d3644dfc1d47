//! Processes that an earlier owner has left at work in a data directory.
//!
//! Supervisor, server and `initdb` have the data directory as their working directory. Whoever
//! holds the cluster's lock and finds such a process knows that it is a leftover.

use std::{fs, io::ErrorKind, path::Path, time::Duration};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::{Instant, sleep};

use crate::error::Error;

/// Waits until nothing works in the data directory, and asks a server without supervisor to end.
/// Call it with the lock held only.
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
        // Its supervisor asks as well, if it still lives; a server minds no second request. Not a
        // server that we cannot look at: the number may be somebody else's by now.
        if let Some(server) = postmaster(data)
            && works_in(server, data) == Some(true)
        {
            let _ = kill_process(server, Signal::INT);
        }
        sleep(Duration::from_millis(50)).await;
    }
    // PostgreSQL takes its own old file for a running server if the number now belongs to another
    // process of the same user, as happens in containers. Nobody works here, so the file is old.
    if postmaster(data).is_some_and(|server| works_in(server, data) == Some(false)) {
        let _ = fs::remove_file(data.join("postmaster.pid"));
    }
    Ok(())
}

/// Whether PostgreSQL itself says that it accepts connections: the eighth line of its pid file.
/// A hint, as the file may be an old one.
pub(crate) fn says_ready(data: &Path) -> bool {
    fs::read_to_string(data.join("postmaster.pid"))
        .is_ok_and(|text| text.lines().nth(7).is_some_and(|line| line.trim() == "ready"))
}

/// The process in PostgreSQL's pid file, if it is alive.
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
    // A process that we may not even signal is not of our user, and so no server of ours.
    test_kill_process(process).ok().map(|()| process)
}

/// Whether a process has the directory as its working directory; `None` when we cannot know.
fn works_in(process: Pid, data: &Path) -> Option<bool> {
    match fs::read_link(format!("/proc/{}/cwd", process.as_raw_nonzero())) {
        Ok(link) => Some(link == data),
        // It has ended; perhaps nobody collects it, as in a container whose first process does not.
        Err(error) if error.kind() == ErrorKind::NotFound && Path::new("/proc/self").exists() => Some(false),
        Err(_) => None,
    }
}

/// One process that works in the directory.
fn first(data: &Path) -> Option<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let processes =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw));
    let seen = processes
        .into_iter()
        .find(|process| works_in(*process, data) == Some(true));
    // Without /proc, or without the right to look: what the pid file says.
    let told = || postmaster(data).filter(|process| works_in(*process, data).is_none());
    seen.or_else(told).map(|process| process.as_raw_nonzero().get())
}
