//! The three ways in which a hook is started: in bubblewrap, below a supervisor, or by itself.

use std::ffi::OsString;
use std::fs;
use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use runner_workdir::{NOBODY, WorkDir, starting};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::options::{ProcessRunnerOptions, SupervisorProgram, UseBwrap};
use crate::supervisor::GO;

/// The directories of the machine that a hook in bubblewrap sees, if they exist; programs and their settings only.
/// `/run` is not among them: a socket in it, such as a database's or a container engine's, would bypass the missing
/// network.
const SYSTEM: [&str; 11] = [
    "usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt", "nix", "gnu",
];
/// The hooks' `PATH`, which is not the server's.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// How hooks are started on this machine.
#[derive(Debug)]
pub(crate) enum Launcher {
    /// In bubblewrap, with these arguments before those of the attempt.
    Bwrap {
        program: PathBuf,
        arguments: Vec<OsString>,
    },
    /// Below a supervisor.
    Supervised(SupervisorProgram),
    /// By themselves, through `setpriv` if it is there.
    Direct { setpriv: Option<PathBuf> },
}

/// The program to start: a hook, or an ingester.
pub(crate) struct Program<'a> {
    /// Its image is `image/<name>` in the work directory.
    pub(crate) name: &'a str,
    /// The directory of the records' files, if it is not the work directory; read-only.
    pub(crate) staged: Option<&'a Path>,
    /// Whether it is an ingester: it has the network and may write to `files`.
    pub(crate) ingester: bool,
    /// The environment besides the paths.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// A hook that was started.
pub(crate) struct Started {
    /// The server's child: the hook, its supervisor or bubblewrap.
    pub(crate) child: Child,
    /// The supervisor's socket; closing its sending half ends the hook.
    pub(crate) control: Option<UnixStream>,
    /// The pipe that the hook prints to.
    pub(crate) log: PipeReader,
    /// An entry of its environment that is unique to this attempt, if there is one.
    pub(crate) mark: Option<Vec<u8>>,
}

impl Launcher {
    /// Chooses the strongest isolation that works on this machine.
    pub(crate) fn choose(options: &ProcessRunnerOptions, drop_to_nobody: bool) -> Self {
        if options.use_bwrap == UseBwrap::Auto
            && let Some(program) = find_program("bwrap")
        {
            // Without further user namespaces a hook reaches less of the kernel; older versions cannot forbid them.
            for extra in [&["--unshare-user", "--disable-userns"][..], &[]] {
                let arguments = base_arguments(extra, options);
                if trial(&program, &arguments, &options.work_root, drop_to_nobody) {
                    return Self::Bwrap { program, arguments };
                }
            }
        }
        match &options.supervisor {
            Some(supervisor) => Self::Supervised(supervisor.clone()),
            None => Self::Direct {
                setpriv: find_program("setpriv"),
            },
        }
    }

    /// Returns whether a hook sees this file of the machine.
    pub(crate) fn shows(&self, path: &Path, options: &ProcessRunnerOptions) -> bool {
        let mut hidden = options.hidden.iter().chain([&options.work_root]);
        let seen = |path: &Path| {
            SYSTEM
                .iter()
                .any(|name| path.starts_with(Path::new("/").join(name)))
        };
        match self {
            // A link is followed in the sandbox, too.
            Self::Bwrap { .. } => {
                let target = fs::canonicalize(path).ok();
                seen(path)
                    && target
                        .is_some_and(|target| seen(&target) && !hidden.any(|dir| target.starts_with(dir)))
            }
            Self::Supervised(_) | Self::Direct { .. } => true,
        }
    }

    /// Returns whether the server's child is not the hook itself.
    pub(crate) const fn wraps(&self) -> bool {
        !matches!(self, Self::Direct { .. })
    }

    /// Starts a program in a work directory. After `cpu_seconds` the kernel ends any one of its processes, if the
    /// watchdog has not done so before.
    ///
    /// Must be called on a thread that lives until the hook has ended: it is that thread's end, not the
    /// server's, at which the kernel sends the signal that `bwrap --die-with-parent` and `setpriv --pdeathsig` request
    /// (prctl(2)).
    pub(crate) fn start(
        &self,
        work: &WorkDir,
        program: &Program<'_>,
        drop_to_nobody: bool,
        cpu_seconds: u64,
    ) -> io::Result<Started> {
        let inside = matches!(self, Self::Bwrap { .. });
        let dir = |part: &str| {
            if inside {
                PathBuf::from("/osa").join(part)
            } else {
                work.part(part)
            }
        };
        let image = dir("image").join(program.name);
        let files = match program.staged {
            Some(staged) if !inside => staged.to_owned(),
            _ => dir("files"),
        };
        let temporary = if inside {
            PathBuf::from("/tmp")
        } else {
            work.part("tmp")
        };
        let mut control = None;
        let mut command = match self {
            Self::Bwrap {
                program: bwrap,
                arguments,
            } => {
                let mut command = Command::new(bwrap);
                let keep_network = |word: &&OsString| !program.ingester || *word != "--unshare-net";
                command
                    .args(arguments.iter().filter(keep_network))
                    .args(attempt_arguments(work, program))
                    .arg("--")
                    .arg(&image);
                command
            }
            Self::Supervised(supervisor) => {
                let owner = if drop_to_nobody {
                    NOBODY.to_string()
                } else {
                    "-".to_owned()
                };
                let mut command = Command::new(&supervisor.path);
                command.args(&supervisor.arguments).arg(owner).arg(&image);
                command
            }
            Self::Direct {
                setpriv: Some(setpriv),
            } => {
                let mut command = Command::new(setpriv);
                command
                    .args(["--pdeathsig", "KILL", "--no-new-privs", "--"])
                    .arg(&image);
                command
            }
            Self::Direct { setpriv: None } => Command::new(&image),
        };
        command.stdin(Stdio::null());
        if let Self::Supervised(_) = self {
            let (ours, theirs) = UnixStream::pair()?;
            command.stdin(OwnedFd::from(theirs));
            control = Some(ours);
        } else if drop_to_nobody {
            // This also drops every supplementary group.
            command.uid(NOBODY).gid(NOBODY);
        }
        let (log, printed) = io::pipe()?;
        command
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .env("HOME", &temporary)
            .env("TMPDIR", &temporary);
        command
            .env("OSA_IN", dir("in"))
            .env("OSA_OUT", dir("out"))
            .env("OSA_FILES", files)
            .envs(program.environment.iter().map(|(name, value)| (name, value)));
        command
            .current_dir(work.part("tmp"))
            .process_group(0)
            .stdout(printed.try_clone()?)
            .stderr(printed);
        let child = {
            let _lock = starting();
            command.spawn()?
        };
        let pid = Pid::from_child(&child);
        // Best effort: these only back up the watchdog.
        let _ = prlimit(
            Some(pid),
            Resource::Cpu,
            Rlimit {
                current: Some(cpu_seconds),
                maximum: Some(cpu_seconds.saturating_add(5)),
            },
        );
        let _ = prlimit(
            Some(pid),
            Resource::Core,
            Rlimit {
                current: Some(0),
                maximum: Some(0),
            },
        );
        let _ = fs::write(
            format!("/proc/{}/oom_score_adj", child.id()),
            if matches!(self, Self::Supervised(_)) {
                "0"
            } else {
                "1000"
            },
        );
        if let Some(mut socket) = control.as_ref() {
            // If this fails the supervisor is gone, and its missing report says so.
            let _ = io::Write::write_all(&mut socket, &[GO]);
        }
        // In bubblewrap every hook has the same paths, and a pid namespace of its own.
        let mark = (!inside).then(|| [b"OSA_OUT=", dir("out").as_os_str().as_bytes()].concat());
        Ok(Started {
            child,
            control,
            log,
            mark,
        })
    }
}

/// Returns why bubblewrap could not start a program, if that is all that this log says: of the hook, nothing ran.
pub(crate) fn not_started(log: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(log).ok()?.trim_end();
    let (_, why) = line.strip_prefix("bwrap: execvp ")?.rsplit_once(": ")?;
    (!line.contains('\n'))
        .then(|| format!("{why} (the program, or what loads it, is not visible in the sandbox)"))
}

/// Finds a program in the server's `PATH`.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|p| p.is_absolute() && p.is_file())
}

/// Returns the part of bubblewrap's arguments that is the same for every attempt.
fn base_arguments(extra: &[&str], options: &ProcessRunnerOptions) -> Vec<OsString> {
    let mut all: Vec<OsString> = extra.iter().map(Into::into).collect();
    let mut add = |words: &[&Path]| all.extend(words.iter().map(|word| word.as_os_str().to_owned()));
    let word = Path::new;
    for flag in [
        "--die-with-parent",
        "--new-session",
        "--unshare-net",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
    ] {
        add(&[word(flag)]);
    }
    add(&[word("--cap-drop"), word("ALL"), word("--hostname"), word("hook")]);
    for name in SYSTEM {
        let path = Path::new("/").join(name);
        if let Ok(target) = fs::read_link(&path) {
            add(&[word("--symlink"), &target, &path]);
        } else if path.is_dir() {
            add(&[word("--ro-bind"), &path, &path]);
        }
    }
    // Nor may a hook see the directories of other attempts.
    for dir in options.hidden.iter().chain([&options.work_root]) {
        let visible = SYSTEM
            .iter()
            .any(|name| dir.starts_with(Path::new("/").join(name)));
        if visible && dir.is_dir() {
            add(&[word("--tmpfs"), dir, word("--remount-ro"), dir]);
        }
    }
    add(&[word("--proc"), word("/proc"), word("--dev"), word("/dev")]);
    all
}

/// Returns the part that belongs to one attempt: its directories at the container contract's paths (WC-5.1).
fn attempt_arguments(work: &WorkDir, program: &Program<'_>) -> Vec<OsString> {
    let mut all: Vec<OsString> = Vec::new();
    let files = program.staged.map_or_else(|| work.part("files"), Path::to_owned);
    let how = if program.ingester { "--bind" } else { "--ro-bind" };
    all.extend([how.into(), files.into(), "/osa/files".into()]);
    if program.ingester {
        // Targets of the link /etc/resolv.conf on many machines; the directory alone, because it also has sockets.
        for path in [
            "/run/systemd/resolve/stub-resolv.conf",
            "/run/systemd/resolve/resolv.conf",
            "/run/resolvconf/resolv.conf",
        ] {
            all.extend(["--ro-bind-try".into(), path.into(), path.into()]);
        }
    }
    let mounts = [
        ("--ro-bind", "in", "/osa/in"),
        ("--ro-bind", "image", "/osa/image"),
        ("--bind", "out", "/osa/out"),
        ("--bind", "tmp", "/tmp"),
        ("--bind", "shm", "/dev/shm"),
    ];
    for (how, part, at) in mounts {
        all.extend([how.into(), work.part(part).into(), at.into()]);
    }
    // The root and /dev are in memory that no limit covers, so they must be read-only.
    for word in ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"] {
        all.push(word.into());
    }
    all
}

/// Checks whether bubblewrap works here: kernels and container engines forbid user namespaces in many ways.
fn trial(program: &Path, arguments: &[OsString], work_root: &Path, drop_to_nobody: bool) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).arg("--ro-bind").arg(work_root).args([
        "/osa/in",
        "--remount-ro",
        "/dev",
        "--remount-ro",
        "/",
        "--",
        "true",
    ]);
    command
        .env_clear()
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if drop_to_nobody {
        command.uid(NOBODY).gid(NOBODY);
    }
    let _lock = starting();
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bubblewraps_own_message_is_that_nothing_ran() {
        let told = not_started(b"bwrap: execvp /osa/image/h: No such file or directory\n");
        assert!(told.unwrap().starts_with("No such file or directory ("));
        for log in [
            &b""[..],
            b"bwrap: execvp",
            b"x\nbwrap: execvp /osa/image/h: No such file or directory\n",
            b"bwrap: execvp /osa/image/h: No such file or directory\nx: y\n",
            b"bwrap: execvp \xff: No such file or directory",
        ] {
            assert_eq!(not_started(log), None, "{log:?}");
        }
    }
}
