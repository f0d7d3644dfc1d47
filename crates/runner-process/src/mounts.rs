//! What an attempt finds in its sandbox: as arguments of bubblewrap, and as a plan for the supervisor.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use runner_workdir::WorkDir;
use rustix::process::{getegid, geteuid};

use crate::confine::{DEVICES, Part, Plan, Rights};
use crate::network::Names;
use crate::program::Program;
use crate::view::{self, System};

/// Makes the `/etc` of an attempt.
pub(crate) fn make_etc(work: &WorkDir, names: Names, user: Option<u32>) -> io::Result<()> {
    let (uid, gid) = user.map_or_else(|| (geteuid().as_raw(), getegid().as_raw()), |user| (user, user));
    view::make_etc(&work.path().join("etc"), uid, gid, names)
}

/// Returns the directories of one attempt at the container contract's paths (WC-5.1), and whether the program may
/// write to them.
fn own_parts(work: &WorkDir, program: &Program<'_>) -> Vec<(PathBuf, &'static str, bool)> {
    let files = program.staged.map_or_else(|| work.part("files"), Path::to_owned);
    vec![
        (files, "/osa/files", program.ingester),
        (work.part("in"), "/osa/in", false),
        (work.part("image"), "/osa/image", false),
        (work.part("out"), "/osa/out", true),
        (work.part("tmp"), "/tmp", true),
        (work.part("shm"), "/dev/shm", true),
    ]
}

/// Returns the part of bubblewrap's arguments that is the same for every attempt.
pub(crate) fn base_arguments(extra: &[&str]) -> Vec<OsString> {
    let mut all: Vec<OsString> = extra.iter().map(Into::into).collect();
    let flags = [
        "--die-with-parent",
        "--new-session",
        "--unshare-net",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--cap-drop",
        "ALL",
        "--hostname",
        "hook",
    ];
    all.extend(flags.map(OsString::from));
    for part in view::system() {
        match part {
            System::Link(path, target) => all.extend(["--symlink".into(), target.into(), path.into()]),
            System::Directory(path) => all.extend(["--ro-bind".into(), path.clone().into(), path.into()]),
        }
    }
    all.extend(["--proc", "/proc", "--dev", "/dev"].map(OsString::from));
    all
}

/// Returns the part that belongs to one attempt.
pub(crate) fn attempt_arguments(work: &WorkDir, program: &Program<'_>, hidden: &[PathBuf]) -> Vec<OsString> {
    let mut all: Vec<OsString> = vec!["--ro-bind".into(), work.path().join("etc").into(), "/etc".into()];
    for part in view::etc() {
        all.extend(["--ro-bind".into(), part.clone().into(), part.into()]);
    }
    // Nor may a hook see the directories of other attempts, or the secrets of the server, wherever they are.
    for path in view::masked(hidden) {
        if path.is_dir() {
            all.extend([
                "--tmpfs".into(),
                path.clone().into(),
                "--remount-ro".into(),
                path.into(),
            ]);
        } else {
            all.extend(["--ro-bind".into(), "/dev/null".into(), path.into()]);
        }
    }
    for (from, to, writable) in own_parts(work, program) {
        let how = if writable { "--bind" } else { "--ro-bind" };
        all.extend([how.into(), from.into(), to.into()]);
    }
    // The root and /dev are in memory that no limit covers, so they must be read-only.
    let last = ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"];
    all.extend(last.map(OsString::from));
    all
}

/// Returns what the supervisor makes of the machine for one attempt.
pub(crate) fn plan(work: &WorkDir, program: &Program<'_>, user: Option<u32>, hidden: &[PathBuf]) -> Plan {
    let part = |from: PathBuf, to: PathBuf, rights: Rights| Part { from, to, rights };
    let (mut parts, mut links) = (Vec::new(), Vec::new());
    for seen in view::system() {
        match seen {
            System::Link(path, target) => links.push((path, target)),
            System::Directory(path) => parts.push(part(path.clone(), path, Rights::Read)),
        }
    }
    parts.push(part(work.path().join("etc"), "/etc".into(), Rights::Read));
    parts.extend(
        view::etc()
            .into_iter()
            .map(|path| part(path.clone(), path, Rights::Read)),
    );
    let dev = Path::new("/dev");
    for name in DEVICES {
        parts.push(part(dev.join(name), dev.join(name), Rights::Device));
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        links.push((dev.join(name), target.into()));
    }
    for (from, to, writable) in own_parts(work, program) {
        let rights = if writable { Rights::Write } else { Rights::Read };
        parts.push(part(from, to.into(), rights));
    }
    Plan {
        root: work.path().join("root"),
        parts,
        links,
        masked: view::masked(hidden),
        network: program.ingester,
        user,
        program: Path::new("/osa/image").join(program.name),
    }
}
