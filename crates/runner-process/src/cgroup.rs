//! Limits of the kernel on a whole tree of processes: control groups (cgroups(7), version 2), where the server may make
//! them. They count what no process has mapped, such as memfds and shared memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where version 2 is mounted, alone.
const MOUNT: &str = "/sys/fs/cgroup";
/// The controllers that are needed.
const NEEDED: [&str; 2] = ["memory", "pids"];
/// What the sandbox, the supervisor and the kernel's own tables of a hook may take besides its memory, in bytes.
const SLACK: u64 = 64 * 1024 * 1024;
/// How many processes more than a hook may have the kernel allows: those of the sandbox and of the supervisor, and
/// enough for the watchdog to see that there are too many, and say so.
const MORE_PROCESSES: usize = 1024;

/// The directory of this server's groups.
#[derive(Debug)]
pub(crate) struct Cgroups {
    parent: PathBuf,
}

impl Cgroups {
    /// Finds a place where this server may make groups. Only with version 2, and if the group of the server was
    /// delegated to it (systemd's `Delegate=yes`) or the server is root.
    pub(crate) fn open() -> Option<Self> {
        let mount = Path::new(MOUNT);
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = mount.join(own.lines().find_map(|line| line.strip_prefix("0::/"))?);
        has(&mount.join("cgroup.controllers"), &NEEDED).then_some(())?;
        let name = format!("hallmark-hooks-{}", std::process::id());
        let parent = if rustix::process::geteuid().is_root() {
            // At the top, groups and processes may be side by side.
            has(&mount.join("cgroup.subtree_control"), &NEEDED).then_some(())?;
            mount.join(name)
        } else {
            delegated(&own).ok()?;
            own.join(name)
        };
        remove_left_over(parent.parent()?);
        let this = Self { parent };
        this.prepare().ok()?;
        // Whether they work shows at the first one.
        drop(this.make("trial", SLACK, 1).ok()?);
        Some(this)
    }

    fn prepare(&self) -> io::Result<()> {
        match fs::create_dir(&self.parent) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        fs::write(self.parent.join("cgroup.subtree_control"), "+memory +pids")
    }

    /// Makes a group whose processes have at most so many bytes of memory, mapped or not, and such a number of
    /// processes.
    pub(crate) fn make(&self, name: &str, memory: u64, processes: usize) -> io::Result<Cgroup> {
        // Another server that starts removes empty directories.
        self.prepare()?;
        let path = self.parent.join(name);
        fs::create_dir(&path)?;
        let group = Cgroup { path };
        group.set("memory.max", &memory.saturating_add(SLACK).to_string())?;
        group.set("pids.max", &processes.saturating_add(MORE_PROCESSES).to_string())?;
        // Not there if the kernel accounts for no swap.
        let _ = group.set("memory.swap.max", "0");
        Ok(group)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.parent);
    }
}

/// The group of one attempt. Dropping it ends what is in it.
#[derive(Debug)]
pub(crate) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    fn set(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.path.join(file), value)
    }

    /// Moves a process into the group. What it starts afterwards is in the group too.
    pub(crate) fn add(&self, pid: u32) -> io::Result<()> {
        self.set("cgroup.procs", &pid.to_string())
    }

    /// Returns whether the kernel ended a process of the group because the group had no memory left.
    pub(crate) fn ended_by_memory(&self) -> bool {
        fs::read_to_string(self.path.join("memory.events")).is_ok_and(|events| kills(&events) > 0)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = self.set("cgroup.kill", "1");
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Returns the number of processes that were ended, from `memory.events`.
fn kills(events: &str) -> u64 {
    let line = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// Returns whether a file is a list that has all these words.
fn has(file: &Path, words: &[&str]) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    let found: Vec<&str> = text.split_ascii_whitespace().collect();
    words.iter().all(|word| found.contains(word))
}

/// Makes it possible to have groups below the server's own: groups that have limits for their children have no
/// processes, so the server moves into one of its own. Only if it is alone in its group.
fn delegated(own: &Path) -> io::Result<()> {
    let alone = fs::read_to_string(own.join("cgroup.procs"))?;
    let pid = std::process::id().to_string();
    if alone.split_ascii_whitespace().ne([pid.as_str()]) {
        return Err(io::Error::other(
            "there are other processes in the group of the server",
        ));
    }
    let server = own.join("server");
    match fs::create_dir(&server) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::write(server.join("cgroup.procs"), &pid)?;
    fs::write(own.join("cgroup.subtree_control"), "+memory +pids").inspect_err(|_| {
        let _ = fs::write(own.join("cgroup.procs"), &pid);
        let _ = fs::remove_dir(&server);
    })
}

/// Removes the empty groups of servers that were killed.
fn remove_left_over(above: &Path) {
    for parent in fs::read_dir(above).into_iter().flatten().flatten() {
        if !parent
            .file_name()
            .to_string_lossy()
            .starts_with("hallmark-hooks-")
        {
            continue;
        }
        for group in fs::read_dir(parent.path()).into_iter().flatten().flatten() {
            // A group with processes cannot be removed.
            let _ = fs::remove_dir(group.path());
        }
        let _ = fs::remove_dir(parent.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_count_of_ended_processes_is_read() {
        assert_eq!(
            kills("low 0\nhigh 0\nmax 12\noom 1\noom_kill 2\noom_group_kill 0\n"),
            2
        );
        for events in ["", "oom_kill x", "oom_group_kill 3"] {
            assert_eq!(kills(events), 0, "{events:?}");
        }
    }
}
