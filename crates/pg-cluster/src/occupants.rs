//! Processes that an earlier owner left running in a data directory.
//!
//! Supervisor, server and `initdb` have the data directory as their working directory. A holder of the cluster's lock
//! that finds such a process knows that it is a leftover.

use std::{fs, io::ErrorKind, path::Path, time::Duration};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::{Instant, sleep};

use crate::error::{Error, io};

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
    remove_left_over(data)
}

/// Removes a pid file that PostgreSQL would take for that of a running server, or would refuse to start with. Call it
/// only when nothing runs in the data directory.
fn remove_left_over(data: &Path) -> Result<(), Error> {
    let file = data.join("postmaster.pid");
    match PidFile::read(data) {
        // The pid now belongs to another process of the same user, as happens in containers.
        PidFile::Process(server) if is_alive(server) && works_in(server, data) == Some(false) => {}
        // What a power cut leaves: an empty file, zeros, half a line.
        PidFile::Unreadable if can_see_processes() => {
            tracing::warn!(file = %file.display(), "the pid file of PostgreSQL is empty or garbled, as after a power cut; no server runs here, so it is removed");
        }
        // Nothing shows whether a server runs.
        PidFile::Unreadable => return Err(Error::PidFileUnreadable { file }),
        PidFile::Process(_) | PidFile::Other => return Ok(()),
    }
    fs::remove_file(&file).map_err(io("remove", &file))
}

/// Returns whether PostgreSQL itself reports that it accepts connections: the eighth line of its pid file. A hint, as
/// the file may be an old one.
pub(crate) fn says_ready(data: &Path) -> bool {
    fs::read_to_string(data.join("postmaster.pid"))
        .is_ok_and(|text| text.lines().nth(7).is_some_and(|line| line.trim() == "ready"))
}

/// The first line of PostgreSQL's pid file.
enum PidFile {
    /// The process of a server.
    Process(Pid),
    /// No number.
    Unreadable,
    /// No file, or that of a single-user server (a negative number), which PostgreSQL judges itself.
    Other,
}

impl PidFile {
    fn read(data: &Path) -> Self {
        let Ok(bytes) = fs::read(data.join("postmaster.pid")) else {
            return Self::Other;
        };
        let text = String::from_utf8_lossy(&bytes);
        match text.lines().next().unwrap_or_default().trim().parse::<i32>() {
            Ok(0) | Err(_) => Self::Unreadable,
            Ok(number) if number > 1 => Pid::from_raw(number).map_or(Self::Other, Self::Process),
            Ok(_) => Self::Other,
        }
    }
}

/// Returns whether a process lives and may be signalled. One that may not belongs to another user, and so is no server
/// of this directory.
fn is_alive(process: Pid) -> bool {
    test_kill_process(process).is_ok()
}

/// Returns the process in PostgreSQL's pid file, if it is alive.
fn postmaster(data: &Path) -> Option<Pid> {
    match PidFile::read(data) {
        PidFile::Process(process) => is_alive(process).then_some(process),
        PidFile::Unreadable | PidFile::Other => None,
    }
}

/// Returns whether the system lists its processes.
fn can_see_processes() -> bool {
    Path::new("/proc/self").exists()
}

/// Returns whether a process has the directory as its working directory; `None` if that cannot be determined.
fn works_in(process: Pid, data: &Path) -> Option<bool> {
    match fs::read_link(format!("/proc/{}/cwd", process.as_raw_nonzero())) {
        Ok(link) => Some(link == data),
        // It has ended, and may not be reaped, as in a container whose first process does not reap.
        Err(error) if error.kind() == ErrorKind::NotFound && can_see_processes() => Some(false),
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
