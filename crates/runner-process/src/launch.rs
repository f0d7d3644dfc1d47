//! The ways in which a hook is started: in bubblewrap, in a sandbox that its supervisor makes, below a supervisor
//! without a sandbox, or by itself.

use std::ffi::OsString;
use std::fs;
use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use runner_workdir::{WorkDir, starting};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::cgroup::Cgroup;
use crate::confine::{ENTER, NOT_STARTED};
use crate::connect::OWN_NETWORK;
use crate::installed::find_program;
use crate::mounts::{attempt_arguments, base_arguments, make_etc, plan};
use crate::network::Network;
use crate::options::{ProcessRunnerOptions, SandboxKind, SupervisorProgram};
use crate::program::Program;
use crate::supervisor::GO;
use crate::view;

/// The hooks' `PATH`, which is not the server's.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What keeps hooks from the machine.
#[derive(Debug)]
pub(crate) enum Isolation {
    /// bubblewrap, with these arguments before those of the attempt.
    Bwrap {
        program: PathBuf,
        arguments: Vec<OsString>,
    },
    /// Namespaces, Landlock and seccomp.
    Landlock,
    /// Nothing.
    None,
    /// Nothing that works, so no hook is started, for this reason.
    Refused(String),
}

/// How hooks are started on this machine.
#[derive(Debug)]
pub(crate) struct Launcher {
    pub(crate) isolation: Isolation,
    /// The network of ingesters.
    pub(crate) network: Network,
    supervisor: Option<SupervisorProgram>,
    hidden: Vec<PathBuf>,
}

/// What the kernel holds a program to.
pub(crate) struct Hold<'a> {
    /// The uid and gid that it runs as and that no other process has, if the server is root.
    pub(crate) user: Option<u32>,
    /// After so much processor time the kernel ends any one of its processes, if the watchdog has not done so before.
    pub(crate) cpu_seconds: u64,
    /// The maximum size of a file.
    pub(crate) file_bytes: u64,
    /// The maximum number of processes, if it has a uid of its own.
    pub(crate) processes: u64,
    /// Its control group, if the server can make one.
    pub(crate) cgroup: Option<&'a Cgroup>,
}

/// A hook that was started.
pub(crate) struct Started {
    /// The server's child: the hook, its supervisor or bubblewrap.
    pub(crate) child: Child,
    /// How many processes, one below the other from the child on, are not the hook itself.
    pub(crate) wrappers: usize,
    /// The supervisor's socket; closing its sending half ends the hook.
    pub(crate) control: Option<UnixStream>,
    /// The pipe that the hook prints to.
    pub(crate) log: PipeReader,
    /// An entry of its environment that is unique to this attempt, if there is one.
    pub(crate) mark: Option<Vec<u8>>,
}

impl Launcher {
    /// Creates a launcher with this isolation. Ingesters have the network of the machine.
    pub(crate) fn new(isolation: Isolation, options: &ProcessRunnerOptions) -> Self {
        Self {
            isolation,
            network: Network::Host("no other was chosen".to_owned()),
            supervisor: options.supervisor.clone(),
            hidden: options
                .hidden
                .iter()
                .chain([&options.work_root])
                .cloned()
                .collect(),
        }
    }

    /// Returns the ways to make a kind of sandbox, the best one first; none if its program is not there.
    pub(crate) fn ways(kind: SandboxKind, options: &ProcessRunnerOptions) -> Vec<Isolation> {
        match kind {
            SandboxKind::Bubblewrap => {
                let found = options.bwrap.clone().or_else(|| find_program("bwrap"));
                let Some(program) = found else { return Vec::new() };
                // Without further user namespaces a hook reaches less of the kernel; older versions cannot forbid
                // them.
                let extras = [&["--unshare-user", "--disable-userns"][..], &[]];
                let way = |extra: &[&str]| Isolation::Bwrap {
                    program: program.clone(),
                    arguments: base_arguments(extra),
                };
                extras.map(way).into()
            }
            SandboxKind::Landlock if options.supervisor.is_some() => vec![Isolation::Landlock],
            SandboxKind::Landlock => Vec::new(),
        }
    }

    /// Returns whether a hook sees this file of the machine.
    pub(crate) fn shows(&self, path: &Path) -> bool {
        !self.is_sandbox() || view::shows(path, &self.hidden)
    }

    /// Returns whether hooks run in a sandbox.
    pub(crate) const fn is_sandbox(&self) -> bool {
        matches!(self.isolation, Isolation::Bwrap { .. } | Isolation::Landlock)
    }

    /// Returns whether programs have a supervisor.
    pub(crate) const fn has_supervisor(&self) -> bool {
        self.supervisor.is_some()
    }

    /// Returns the supervisor of attempts. bubblewrap ends its hook with the server, and needs one all the same: to be
    /// within its limits and in its control group before it starts anything.
    const fn supervisor(&self) -> Option<&SupervisorProgram> {
        self.supervisor.as_ref()
    }

    /// Starts a program in a work directory.
    ///
    /// Must be called on a thread that lives until the hook has ended: it is that thread's end, not the
    /// server's, at which the kernel sends the signal that `bwrap --die-with-parent` and `setpriv --pdeathsig` request
    /// (prctl(2)).
    pub(crate) fn start(
        &self,
        work: &WorkDir,
        program: &Program<'_>,
        hold: &Hold<'_>,
    ) -> io::Result<Started> {
        let inside = self.is_sandbox();
        let dir = |part: &str| {
            if inside {
                PathBuf::from("/osa").join(part)
            } else {
                work.part(part)
            }
        };
        let supervisor = self.supervisor();
        let words = self.words(work, program, hold.user, supervisor)?;
        let mut control = None;
        let mut command = if let Some(supervisor) = supervisor {
            // The sandbox that the supervisor makes changes to the user of the hook itself.
            let user = hold
                .user
                .filter(|_| !matches!(self.isolation, Isolation::Landlock));
            let mut command = Command::new(&supervisor.path);
            command.args(&supervisor.arguments);
            // Who owns the user namespace of a network has every right over it from outside: never the ingester's uid,
            // which it has outside of that namespace where the sandbox makes no other.
            if let Some(plan) = self.network.plan(work, program, user) {
                command.arg(OWN_NETWORK).arg(serde_json::to_string(&plan)?);
            }
            command
                .arg(user.map_or_else(|| "-".to_owned(), |uid| uid.to_string()))
                .args(words);
            let (ours, theirs) = UnixStream::pair()?;
            command.stdin(OwnedFd::from(theirs));
            control = Some(ours);
            command
        } else {
            let mut words = words.into_iter();
            let mut command = Command::new(words.next().unwrap_or_default());
            command.args(words).stdin(Stdio::null());
            if let Some(user) = hold.user {
                // This also drops every supplementary group.
                command.uid(user).gid(user);
            }
            command
        };
        let (log, printed) = io::pipe()?;
        self.set_environment(&mut command, work, program);
        command
            .current_dir(work.part("tmp"))
            .process_group(0)
            .stdout(printed.try_clone()?)
            .stderr(printed);
        let mut child = {
            let _lock = starting();
            command.spawn()?
        };
        // The supervisor waits for a byte, so all that it starts is limited.
        limit(&child, hold, supervisor.is_some());
        if let (Some(_), Some(cgroup)) = (supervisor, hold.cgroup)
            && let Err(error) = cgroup.add(child.id())
        {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
        if let Some(mut socket) = control.as_ref() {
            // If this fails the supervisor is gone, and its missing report says so.
            let _ = io::Write::write_all(&mut socket, &[GO]);
        }
        // In a sandbox every hook has the same paths, and a pid namespace of its own.
        let mark = (!inside).then(|| [b"OSA_OUT=", dir("out").as_os_str().as_bytes()].concat());
        Ok(Started {
            child,
            wrappers: usize::from(supervisor.is_some())
                + match self.isolation {
                    Isolation::Bwrap { .. } => 1,
                    Isolation::Landlock => 2,
                    Isolation::None | Isolation::Refused(_) => 0,
                },
            control,
            log,
            mark,
        })
    }

    /// Returns the command line of the hook, without that of its supervisor.
    fn words(
        &self,
        work: &WorkDir,
        program: &Program<'_>,
        user: Option<u32>,
        supervisor: Option<&SupervisorProgram>,
    ) -> io::Result<Vec<OsString>> {
        let image = Path::new("image").join(program.name);
        match &self.isolation {
            Isolation::Bwrap {
                program: bwrap,
                arguments,
            } => {
                make_etc(work, self.network.names(program), user)?;
                // An ingester has the network of its supervisor, which may have made one for it.
                let keep_network = |word: &&OsString| !program.ingester || *word != "--unshare-net";
                let mut words: Vec<OsString> = vec![bwrap.into()];
                words.extend(arguments.iter().filter(keep_network).cloned());
                words.extend(attempt_arguments(work, program, &self.hidden));
                words.extend(["--".into(), Path::new("/osa").join(image).into()]);
                Ok(words)
            }
            Isolation::Landlock => {
                let supervisor = supervisor.ok_or_else(|| io::Error::other("there is no supervisor"))?;
                make_etc(work, self.network.names(program), user)?;
                let plan = plan(work, program, user, &self.hidden);
                view::make_dir(&plan.root)?;
                let file = work.path().join("plan.json");
                view::write(&file, serde_json::to_vec(&plan)?)?;
                let mut words: Vec<OsString> = vec![supervisor.path.clone().into()];
                words.extend(supervisor.arguments.iter().cloned());
                words.extend([ENTER.into(), file.into()]);
                Ok(words)
            }
            Isolation::Refused(why) => Err(io::Error::other(why.clone())),
            Isolation::None => {
                let image: OsString = work.path().join(image).into();
                let alone = supervisor.is_none().then(|| find_program("setpriv")).flatten();
                Ok(match alone {
                    Some(setpriv) => {
                        let mut words: Vec<OsString> = vec![setpriv.into()];
                        words.extend(["--pdeathsig", "KILL", "--no-new-privs", "--"].map(OsString::from));
                        words.push(image);
                        words
                    }
                    None => vec![image],
                })
            }
        }
    }

    fn set_environment(&self, command: &mut Command, work: &WorkDir, program: &Program<'_>) {
        let inside = self.is_sandbox();
        let dir = |part: &str| {
            if inside {
                PathBuf::from("/osa").join(part)
            } else {
                work.part(part)
            }
        };
        let files = match program.staged {
            Some(staged) if !inside => staged.to_owned(),
            _ => dir("files"),
        };
        let temporary = if inside {
            PathBuf::from("/tmp")
        } else {
            work.part("tmp")
        };
        command
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .env("HOME", &temporary)
            .env("TMPDIR", &temporary)
            .env("OSA_IN", dir("in"))
            .env("OSA_OUT", dir("out"))
            .env("OSA_FILES", files)
            .envs(program.environment.iter().map(|(name, value)| (name, value)));
    }
}

/// Sets limits of the kernel that each process of the hook inherits. Best effort: they only back up the watchdog.
fn limit(child: &Child, hold: &Hold<'_>, supervised: bool) {
    let pid = Pid::from_child(child);
    let set = |resource: Resource, soft: u64, hard: u64| {
        let limit = Rlimit {
            current: Some(soft),
            maximum: Some(hard),
        };
        let _ = prlimit(Some(pid), resource, limit);
    };
    set(
        Resource::Cpu,
        hold.cpu_seconds,
        hold.cpu_seconds.saturating_add(5),
    );
    set(Resource::Core, 0, 0);
    set(Resource::Fsize, hold.file_bytes, hold.file_bytes);
    if hold.user.is_some() {
        set(Resource::Nproc, hold.processes, hold.processes);
    }
    let score = if supervised { "0" } else { "1000" };
    let _ = fs::write(format!("/proc/{}/oom_score_adj", child.id()), score);
}

/// Returns why the sandbox could not start a program, if that is all that this log says: of the hook, nothing ran.
pub(crate) fn not_started(log: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(log).ok()?.trim_end();
    if line.contains('\n') {
        return None;
    }
    let why = match line.strip_prefix(NOT_STARTED) {
        Some(why) => why,
        None => line.strip_prefix("bwrap: execvp ")?.rsplit_once(": ")?.1,
    };
    Some(if why.starts_with("cannot ") {
        why.to_owned()
    } else {
        format!("{why} (the program, or what loads it, is not visible in the sandbox)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sandboxs_own_message_is_that_nothing_ran() {
        let told = not_started(b"bwrap: execvp /osa/image/h: No such file or directory\n");
        assert!(told.unwrap().starts_with("No such file or directory ("));
        let told = not_started(b"hook sandbox: No such file or directory (os error 2)\n");
        assert!(told.unwrap().starts_with("No such file or directory ("));
        let told = not_started(b"hook sandbox: cannot make namespaces: Operation not permitted\n");
        assert_eq!(told.unwrap(), "cannot make namespaces: Operation not permitted");
        for log in [
            &b""[..],
            b"bwrap: execvp",
            b"x\nbwrap: execvp /osa/image/h: No such file or directory\n",
            b"bwrap: execvp /osa/image/h: No such file or directory\nx: y\n",
            b"bwrap: execvp \xff: No such file or directory",
            b"hook sandbox: x\nhook sandbox: y\n",
        ] {
            assert_eq!(not_started(log), None, "{log:?}");
        }
    }
}
