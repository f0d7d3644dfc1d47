//! Limits of the kernel on a whole tree of processes: control groups (cgroups(7), version 2), where the server may make
//! them. They count what no process has mapped, such as memfds and shared memory.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use runner_workdir::starting;
use uuid::Uuid;

use crate::options::SupervisorProgram;

/// Where version 2 is mounted, alone.
const MOUNT: &str = "/sys/fs/cgroup";
/// The controllers that are needed.
const NEEDED: [&str; 2] = ["memory", "pids"];
/// What the sandbox, the supervisor and the kernel's own tables of a hook may take besides its memory, in bytes.
const SLACK: u64 = 64 * 1024 * 1024;
/// How many processes more than a hook may have the kernel allows: those of the sandbox and of the supervisor, and
/// enough for the watchdog to see that there are too many, and say so.
const MORE_PROCESSES: usize = 1024;
/// What the names of servers' directories begin with.
const PREFIX: &str = "hallmark-hooks-";
/// The group below its own that a server moves into. `DelegateSubgroup=server` of systemd makes the same.
const SERVER: &str = "server";
/// How systemd marks a group that it leaves to its service.
const MARKS: [&str; 2] = ["trusted.delegate", "user.delegate"];
/// How often a directory is made anew that another server took for a left-over one before it was locked.
const TRIES: usize = 5;

/// The directory of this server's groups.
#[derive(Debug)]
pub(crate) struct Cgroups {
    parent: PathBuf,
    /// Locked while the server lives, so that others do not take the directory for a left-over one.
    _lock: File,
}

impl Cgroups {
    /// Finds a place where this server may make groups, and tries it out with a process of the supervisor. Only with
    /// version 2, and if the group of the server was delegated to it (systemd's `Delegate=yes`) or the server is root.
    pub(crate) fn open(supervisor: &SupervisorProgram) -> Option<Self> {
        let machine = Machine::this()?;
        let tried = machine.place().and_then(|place| {
            remove_left_over(&place);
            let this = Self::below(&place)?;
            this.try_out(supervisor)?;
            Ok(this)
        });
        tried
            .inspect_err(|error| {
                tracing::info!(%error, "no control groups for hooks: the watchdog holds their limits alone");
            })
            .ok()
    }

    /// Makes the directory of this server's groups.
    fn below(place: &Path) -> io::Result<Self> {
        let make = || -> io::Result<Self> {
            let parent = place.join(format!("{PREFIX}{}", Uuid::new_v4().simple()));
            fs::create_dir(&parent)?;
            let lock = File::open(&parent)?;
            lock.try_lock().map_err(io::Error::other)?;
            enable(&parent).inspect_err(|_| {
                let _ = fs::remove_dir(&parent);
            })?;
            Ok(Self { parent, _lock: lock })
        };
        let mut made = make();
        for _ in 1..TRIES {
            if made.is_ok() {
                break;
            }
            made = make();
        }
        made
    }

    /// Moves a process into a group: in some places groups can be made, and processes cannot be moved there.
    fn try_out(&self, supervisor: &SupervisorProgram) -> io::Result<()> {
        let group = self.make("trial", SLACK, 1)?;
        // It waits to be told to go on, and never is.
        let (_ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(&supervisor.path);
        command
            .args(&supervisor.arguments)
            .args(["-", "/bin/true"])
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = {
            let _lock = starting();
            command.spawn()?
        };
        let added = group.add(child.id());
        child.kill()?;
        child.wait()?;
        added
    }

    /// Makes a group whose processes have at most so many bytes of memory, mapped or not, and such a number of
    /// processes.
    pub(crate) fn make(&self, name: &str, memory: u64, processes: usize) -> io::Result<Cgroup> {
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

/// What is known of control groups before any is made.
struct Machine {
    /// Where they are mounted.
    mount: PathBuf,
    /// The server's own one.
    own: PathBuf,
    pid: u32,
    is_root: bool,
}

impl Machine {
    /// Looks at this machine; `None` without version 2.
    fn this() -> Option<Self> {
        let mount = PathBuf::from(MOUNT);
        let own = own_group(&mount, &fs::read_to_string("/proc/self/cgroup").ok()?)?;
        has(&mount.join("cgroup.controllers"), &NEEDED).then(|| Self {
            mount,
            own,
            pid: std::process::id(),
            is_root: rustix::process::geteuid().is_root(),
        })
    }

    /// Returns the directory below which this server may make groups, after it made that possible: except at the top of
    /// the machine, a group has either processes or controllers for the groups below it (cgroups(7), "no internal
    /// processes").
    fn place(&self) -> io::Result<PathBuf> {
        // It moved there before, or systemd started it there.
        if self.own.ends_with(SERVER)
            && let Some(above) = self.own.parent().filter(|above| above.starts_with(&self.mount))
            && controls(above)
            && enable(above).is_ok()
        {
            return Ok(above.to_owned());
        }
        // Root may write to every group, also to those that systemd did not leave to their services.
        if !self.is_root || is_marked(&self.own) {
            let moved = self.move_aside();
            if moved.is_ok() || !self.is_root {
                return moved.map(|()| self.own.clone());
            }
        }
        if self.is_root && has(&self.mount.join("cgroup.subtree_control"), &NEEDED) {
            return Ok(self.mount.clone());
        }
        // In a container the top is a group like any other. What is in it is the container's.
        if self.own == self.mount {
            return self.move_aside().map(|()| self.own.clone());
        }
        Err(io::Error::other(
            "the controllers memory and pids are not available for the groups of this server",
        ))
    }

    /// Moves the server into a group below its own one, which then can have controllers. Only if it is alone there.
    fn move_aside(&self) -> io::Result<()> {
        if !controls(&self.own) {
            return Err(io::Error::other(
                "the group of the server has not the controllers memory and pids",
            ));
        }
        let alone = fs::read_to_string(self.own.join("cgroup.procs"))?;
        let pid = self.pid.to_string();
        if alone.split_ascii_whitespace().ne([pid.as_str()]) {
            return Err(io::Error::other(
                "there are other processes in the group of the server",
            ));
        }
        let server = self.own.join(SERVER);
        match fs::create_dir(&server) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let moved = fs::write(server.join("cgroup.procs"), &pid).and_then(|()| {
            enable(&self.own).inspect_err(|_| {
                let _ = fs::write(self.own.join("cgroup.procs"), &pid);
            })
        });
        moved.inspect_err(|_| {
            let _ = fs::remove_dir(&server);
        })
    }
}

/// Returns the directory of the server's own group, from `/proc/self/cgroup`. `None` without version 2, and if the group
/// is outside of what this process sees.
fn own_group(mount: &Path, text: &str) -> Option<PathBuf> {
    let path = Path::new(text.lines().find_map(|line| line.strip_prefix("0::/"))?);
    let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    is_inside.then(|| {
        path.components()
            .fold(mount.to_owned(), |all, part| all.join(part))
    })
}

/// Returns whether systemd left a group to its service.
fn is_marked(group: &Path) -> bool {
    MARKS.iter().any(|mark| {
        let mut value = [0_u8; 8];
        rustix::fs::getxattr(group, *mark, &mut value)
            .is_ok_and(|length| value.starts_with(b"1") && length == 1)
    })
}

/// Returns whether a group has the controllers, so that those below it can have them.
fn controls(group: &Path) -> bool {
    has(&group.join("cgroup.controllers"), &NEEDED)
}

/// Gives the groups below this one the controllers.
fn enable(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.subtree_control"), "+memory +pids")
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

/// Removes the groups of servers that were killed, and ends what is left in them. A directory that is locked belongs to
/// a server that lives.
fn remove_left_over(above: &Path) {
    for parent in fs::read_dir(above).into_iter().flatten().flatten() {
        if !parent.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(parent.path()) else {
            continue;
        };
        if lock.try_lock().is_err() {
            continue;
        }
        for group in fs::read_dir(parent.path()).into_iter().flatten().flatten() {
            if group.file_type().is_ok_and(|kind| kind.is_dir()) {
                drop(Cgroup { path: group.path() });
            }
        }
        let _ = fs::remove_dir(parent.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PID: u32 = 4242;

    /// Directories like those of the kernel, with files that only remember what was written.
    struct Fake {
        dir: tempfile::TempDir,
    }

    impl Fake {
        fn new() -> Self {
            let fake = Self {
                dir: tempfile::tempdir().unwrap(),
            };
            fake.group("", "cpu memory pids", "");
            fake
        }

        /// A group with these controllers and processes.
        fn group(&self, path: &str, controllers: &str, processes: &str) -> PathBuf {
            let group = self.at(path);
            fs::create_dir_all(&group).unwrap();
            fs::write(group.join("cgroup.controllers"), controllers).unwrap();
            fs::write(group.join("cgroup.procs"), processes).unwrap();
            group
        }

        fn at(&self, path: &str) -> PathBuf {
            match path {
                "" => self.dir.path().to_owned(),
                path => self.dir.path().join(path),
            }
        }

        fn read(&self, path: &str) -> Option<String> {
            fs::read_to_string(self.at(path)).ok()
        }

        fn place(&self, own: &str, is_root: bool) -> io::Result<PathBuf> {
            Machine {
                mount: self.at(""),
                own: self.at(own),
                pid: PID,
                is_root,
            }
            .place()
        }
    }

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

    #[test]
    fn the_own_group_is_below_the_mount_or_unknown() {
        let mount = Path::new("/cg");
        let own = |text: &str| own_group(mount, text);
        assert_eq!(own("0::/\n"), Some("/cg".into()));
        assert_eq!(
            own("4:memory:/other\n0::/system.slice/hallmark.service\n"),
            Some("/cg/system.slice/hallmark.service".into())
        );
        // Version 1, and a group above the ones that this process sees.
        for text in ["4:memory:/a\n", "", "0::/../../a\n"] {
            assert_eq!(own(text), None, "{text:?}");
        }
    }

    // proves ISO-3
    #[test]
    fn an_ordinary_server_uses_the_group_that_it_has_alone_and_moves_out_of_it() {
        let fake = Fake::new();
        let own = fake.group("s/h.service", "memory pids", &format!("{PID}\n"));
        assert_eq!(fake.place("s/h.service", false).unwrap(), own);
        assert_eq!(
            fake.read("s/h.service/server/cgroup.procs").unwrap(),
            PID.to_string()
        );
        assert_eq!(
            fake.read("s/h.service/cgroup.subtree_control").unwrap(),
            "+memory +pids"
        );
        // From there it finds the same place again, as does one that systemd started in such a group.
        assert_eq!(fake.place("s/h.service/server", false).unwrap(), own);
        assert_eq!(fake.read("s/h.service/server/cgroup.subtree_control"), None);
    }

    // proves ISO-3
    #[test]
    fn nothing_is_changed_where_others_are_or_a_controller_is_missing() {
        let fake = Fake::new();
        fake.group("session", "memory pids", &format!("1\n{PID}\n"));
        fake.group("bare", "pids", &format!("{PID}\n"));
        // A process outside of the own process namespace.
        fake.group("shared", "memory pids", "0\n");
        for own in ["session", "bare", "shared", "missing"] {
            for is_root in [false, true] {
                assert!(fake.place(own, is_root).is_err(), "{own}");
                assert!(!fake.at(own).join("server").exists(), "{own}");
                assert!(!fake.at(own).join("cgroup.subtree_control").exists(), "{own}");
            }
        }
    }

    // proves ISO-3
    #[test]
    fn a_server_that_cannot_have_controllers_goes_back_to_its_group() {
        let fake = Fake::new();
        let own = fake.group("a", "memory pids", &format!("{PID}\n"));
        // What cannot be written.
        fs::create_dir(own.join("cgroup.subtree_control")).unwrap();
        assert!(fake.place("a", false).is_err());
        assert_eq!(fake.read("a/cgroup.procs").unwrap(), PID.to_string());
    }

    // proves ISO-3
    #[test]
    fn root_makes_its_groups_at_the_top_or_alone_in_a_container() {
        let fake = Fake::new();
        fake.group("s/h.service", "memory pids", &format!("{PID}\n"));
        assert!(fake.place("s/h.service", true).is_err());
        fs::write(fake.at("cgroup.subtree_control"), "cpu memory pids\n").unwrap();
        assert_eq!(fake.place("s/h.service", true).unwrap(), fake.at(""));
        // Its own group was not touched: systemd did not leave it to it.
        assert!(!fake.at("s/h.service/server").exists());

        let container = Fake::new();
        container.group("", "memory pids", &format!("{PID}\n"));
        assert_eq!(container.place("", true).unwrap(), container.at(""));
        assert_eq!(container.read("server/cgroup.procs").unwrap(), PID.to_string());
        let shared = Fake::new();
        shared.group("", "memory pids", &format!("1\n{PID}\n"));
        assert!(shared.place("", true).is_err());
    }

    // proves ISO-3
    #[test]
    fn a_group_has_its_limits_and_only_directories_of_dead_servers_are_removed() {
        let fake = Fake::new();
        let groups = Cgroups::below(&fake.at("")).unwrap();
        let group = groups.make("a", 1 << 30, 256).unwrap();
        let read = |name: &str| fs::read_to_string(group.path.join(name)).unwrap();
        assert_eq!(read("memory.max"), ((1_u64 << 30) + SLACK).to_string());
        assert_eq!(read("pids.max"), (256 + MORE_PROCESSES).to_string());
        assert_eq!(read("memory.swap.max"), "0");

        let dead = fake.at(&format!("{PREFIX}dead"));
        fs::create_dir_all(dead.join("b")).unwrap();
        fs::create_dir(fake.at("mine")).unwrap();
        remove_left_over(&fake.at(""));
        // Unlike the kernel's directories, these are not empty without groups.
        assert_eq!(fs::read_to_string(dead.join("b/cgroup.kill")).unwrap(), "1");
        assert!(!group.path.join("cgroup.kill").exists() && fake.at("mine").exists());
    }
}
