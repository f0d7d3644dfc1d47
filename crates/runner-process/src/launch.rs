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
/// `/run` is not among them: a socket in it, such as a database's or a container engine's, would be a way around the missing network.
const SYSTEM: [&str; 11] = [
    "usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt", "nix", "gnu",
];
/// Where hooks find programs; the server's own `PATH` is not theirs.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

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

/// What is started: a hook, or an ingester.
pub(crate) struct Program<'a> {
    /// Its image is `image/<name>` in the work directory.
    pub(crate) name: &'a str,
    /// Where the files of the records are, if not in the work directory. They may only be read.
    pub(crate) staged: Option<&'a Path>,
    /// Whether it is an ingester: it has the network and may write to `files`.
    pub(crate) ingester: bool,
    /// What its environment has besides the paths.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// A hook that was started.
pub(crate) struct Started {
    /// The server's child: the hook, its supervisor or bubblewrap.
    pub(crate) child: Child,
    /// The supervisor's socket; closing its sending half ends the hook.
    pub(crate) control: Option<UnixStream>,
    /// What the hook prints.
    pub(crate) log: PipeReader,
    /// An entry of its environment that no other attempt's hook has, if there is one.
    pub(crate) mark: Option<Vec<u8>>,
}

impl Launcher {
    /// The best way that works on this machine.
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

    /// Whether the server's child is not the hook itself.
    pub(crate) const fn wraps(&self) -> bool {
        !matches!(self, Self::Direct { .. })
    }

    /// Starts a program in a work directory. `cpu_seconds` is
    /// when the kernel ends any one of its processes, should the watchdog not have done so before.
    ///
    /// Must be called on a thread that lives until the hook has ended: it is that thread's end, not the
    /// server's, at which the kernel sends the signal that `bwrap --die-with-parent` and `setpriv --pdeathsig` ask for (prctl(2)).
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

/// A program in the server's `PATH`.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|p| p.is_absolute() && p.is_file())
}

/// The part of bubblewrap's arguments that is the same for every attempt.
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
    // Other attempts' directories are nobody's business either.
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

/// The part that is of one attempt: its directories at the container contract's paths (WC-5.1).
fn attempt_arguments(work: &WorkDir, program: &Program<'_>) -> Vec<OsString> {
    let mut all: Vec<OsString> = Vec::new();
    let files = program.staged.map_or_else(|| work.part("files"), Path::to_owned);
    let how = if program.ingester { "--bind" } else { "--ro-bind" };
    all.extend([how.into(), files.into(), "/osa/files".into()]);
    if program.ingester {
        // What /etc/resolv.conf of many machines is a link into; the directory alone, for it also has sockets.
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
    // The root and /dev are in memory that no limit sees; nothing is to be written there.
    for word in ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"] {
        all.push(word.into());
    }
    all
}

/// Whether bubblewrap works here: kernels and container engines forbid user namespaces in many ways.
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
