//! The sandbox of machines without bubblewrap: namespaces of users, mounts, processes, messages and the network, then
//! Landlock and seccomp.
//!
//! Two processes make it, both started from the supervisor's program. The first enters the namespaces. Its child is
//! the first process of the new process namespace: it mounts what the hook sees, takes away every right that it does
//! not need, starts the hook, and ends with it; then the kernel ends everything in the namespace.
//!
//! As root no user namespace is needed, and the hook gets a uid of its own. Otherwise the hook keeps the server's uid,
//! in a user namespace that has no other one.

use std::error::Error;
use std::ffi::{CStr, OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};
use rustix::process::{
    Pid, Signal, WaitOptions, getegid, geteuid, pivot_root, set_parent_process_death_signal, umask, wait,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, capabilities, clear_ambient_capability_set,
    configure_capability_in_ambient_set, set_capabilities, set_no_new_privs,
};
use serde::{Deserialize, Serialize};

use crate::filter::filter;
use crate::spawn::start;

/// The argument with which the supervisor's program enters the namespaces. The file of the [`Plan`] follows.
pub(crate) const ENTER: &str = "enter-sandbox";
/// The argument with which it builds the sandbox in them. The file follows.
pub(crate) const BUILD: &str = "build-sandbox";
/// What begins the one line that is printed when the hook was not started.
pub(crate) const NOT_STARTED: &str = "hook sandbox: ";

/// The devices that a hook sees.
pub(crate) const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// What is done to a part of the machine that the hook sees.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) enum Rights {
    /// It can be read, and programs in it run.
    Read,
    /// It can be changed as well.
    Write,
    /// It is a device.
    Device,
}

/// A part of the machine that the hook sees.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Part {
    /// Its path on the machine.
    pub(crate) from: PathBuf,
    /// Its path in the sandbox, absolute.
    pub(crate) to: PathBuf,
    pub(crate) rights: Rights,
}

/// A sandbox to be made.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Plan {
    /// An empty directory of the machine, which becomes the root.
    pub(crate) root: PathBuf,
    /// In order: a later one may be inside an earlier one.
    pub(crate) parts: Vec<Part>,
    /// Links, as path and target.
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
    /// Paths in the sandbox that are made empty.
    pub(crate) masked: Vec<PathBuf>,
    /// Whether it has the network of its supervisor: the machine's, or one that was made for it.
    pub(crate) network: bool,
    /// The uid and gid of the hook, if the server is root.
    pub(crate) user: Option<u32>,
    /// The program, as a path in the sandbox.
    pub(crate) program: PathBuf,
}

impl Plan {
    /// Reads a plan from its file.
    fn read(file: &OsStr) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(file)?)?)
    }

    /// Returns where a path of the sandbox is before the root is changed.
    fn outside(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

/// Adds what was attempted to an error.
pub(crate) fn context<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> io::Error {
    move |error| io::Error::other(format!("cannot {what}: {error}"))
}

/// Runs one of the two steps, and returns the status of the hook: as shells do, 128 and the number of the signal if
/// one ended it.
pub(crate) fn confine(step: &OsStr, file: &OsStr) -> ExitCode {
    let done = if step == ENTER { enter(file) } else { build(file) };
    done.unwrap_or_else(|error| {
        // Standard error is the hook's log.
        let _ = writeln!(io::stderr(), "{NOT_STARTED}{error}");
        ExitCode::FAILURE
    })
}

/// Converts the end of a process to a status.
fn code(exited: Option<i32>, signal: Option<i32>) -> ExitCode {
    let number = exited.or_else(|| signal.map(|signal| 128 + signal));
    number
        .and_then(|number| u8::try_from(number).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Leaves namespaces of the server. The process has one thread.
#[expect(
    deprecated,
    reason = "the function that replaces it is unsafe because of shared file descriptor tables, which are not unshared here"
)]
pub(crate) fn unshare(spaces: UnshareFlags) -> rustix::io::Result<()> {
    rustix::thread::unshare(spaces)
}

/// Gives the user namespace that this process has just made one uid and one gid, of those of the one above.
pub(crate) fn map_ids(inside: [u32; 2], outside: [u32; 2]) -> io::Result<()> {
    let map = |name: &str, text: String| {
        fs::write(format!("/proc/self/{name}"), text).map_err(context(format!("write {name}")))
    };
    map("setgroups", "deny".to_owned())?;
    map("uid_map", format!("{} {} 1", inside[0], outside[0]))?;
    map("gid_map", format!("{} {} 1", inside[1], outside[1]))
}

/// The first step.
fn enter(file: &OsStr) -> io::Result<ExitCode> {
    let plan = Plan::read(file).map_err(context("read the plan"))?;
    set_no_new_privs(true)?;
    let (uid, gid) = (geteuid(), getegid());
    let mut spaces = UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if !plan.network {
        spaces |= UnshareFlags::NEWNET;
    }
    if !uid.is_root() {
        spaces |= UnshareFlags::NEWUSER;
    }
    unshare(spaces).map_err(context("make namespaces"))?;
    if !uid.is_root() {
        let same = [uid.as_raw(), gid.as_raw()];
        map_ids(same, same)?;
        // A program that is started by another user than root keeps only such rights.
        let now = capabilities(None)?;
        let kept = CapabilitySets {
            inheritable: CapabilitySet::SYS_ADMIN,
            ..now
        };
        set_capabilities(None, kept).map_err(context("keep a right"))?;
        configure_capability_in_ambient_set(CapabilitySet::SYS_ADMIN, true)
            .map_err(context("keep a right"))?;
    }
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Some kernels have no such namespace.
    let _ = unshare(UnshareFlags::NEWCGROUP);
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let before = words.iter().take_while(|word| *word != ENTER);
    let status = Command::new("/proc/self/exe")
        .args(before)
        .arg(BUILD)
        .arg(file)
        .status()
        .map_err(context("start the first process of the sandbox"))?;
    Ok(code(status.code(), status.signal()))
}

/// The second step.
fn build(file: &OsStr) -> io::Result<ExitCode> {
    let plan = Plan::read(file).map_err(context("read the plan"))?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // What is made for the hook must be open to its user.
    umask(Mode::WGRP | Mode::WOTH);
    mount_all(&plan)?;
    std::env::set_current_dir(&plan.root)?;
    // The old root is stacked on the new one, and is then taken away.
    pivot_root(".", ".").map_err(context("change the root"))?;
    unmount(".", UnmountFlags::DETACH).map_err(context("leave the old root"))?;
    std::env::set_current_dir("/tmp")?;
    // Best effort: the name of the machine is no secret.
    let _ = rustix::system::sethostname(b"hook");
    give_up_rights(plan.user.is_some()).map_err(context("give up rights"))?;
    restrict(&plan).map_err(context("apply Landlock"))?;
    filter().map_err(context("apply seccomp"))?;
    let mut command = Command::new(&plan.program);
    if let Some(user) = plan.user {
        command.uid(user).gid(user);
    }
    let hook = Pid::from_child(&start(&mut command)?);
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == hook => {
                return Ok(code(status.exit_status(), status.terminating_signal()));
            }
            // An orphan, which comes to the first process of a namespace.
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The flags of everything that is mounted except devices.
const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// Mounts a small file system in memory.
fn mount_memory(target: &Path, flags: MountFlags, options: &CStr) -> io::Result<()> {
    mount("tmpfs", target, "tmpfs", flags, options).map_err(context(format!("mount {}", target.display())))
}

/// Changes the flags of a mount. In a user namespace the flags that the machine set stay, so it may be `noexec`.
fn remount(target: &Path, flags: MountFlags) -> io::Result<()> {
    let flags = flags | MountFlags::BIND;
    mount_remount(target, flags, c"")
        .or_else(|_| mount_remount(target, flags | MountFlags::NOEXEC, c""))
        .map_err(context(format!("remount {}", target.display())))
}

/// Mounts everything that the hook sees below the directory that becomes the root.
fn mount_all(plan: &Plan) -> io::Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(context("detach the mounts of the machine"))?;
    mount_memory(&plan.root, PLAIN, c"size=1m,mode=0755")?;
    for part in &plan.parts {
        let target = plan.outside(&part.to);
        make_target(&part.from, &target).map_err(context(format!("make {}", part.to.display())))?;
        mount_bind_recursive(&part.from, &target).map_err(context(format!("show {}", part.to.display())))?;
        match part.rights {
            Rights::Read => remount(&target, PLAIN | MountFlags::RDONLY)?,
            Rights::Write => remount(&target, PLAIN)?,
            Rights::Device => {}
        }
    }
    for (path, target) in &plan.links {
        symlink(target, plan.outside(path)).map_err(context(format!("link {}", path.display())))?;
    }
    let processes = plan.outside(Path::new("/proc"));
    fs::create_dir(&processes)?;
    mount(
        "proc",
        &processes,
        "proc",
        PLAIN | MountFlags::NOEXEC,
        None::<&CStr>,
    )
    .map_err(context("mount /proc"))?;
    for path in &plan.masked {
        let target = plan.outside(path);
        if target.is_dir() {
            mount_memory(&target, PLAIN | MountFlags::RDONLY, c"size=4k,mode=0755")?;
        } else if target.exists() {
            mount_bind("/dev/null", &target).map_err(context(format!("hide {}", path.display())))?;
        }
    }
    remount(&plan.root, PLAIN | MountFlags::RDONLY)
}

/// Makes the directory or the empty file that a part is mounted on, unless it exists.
fn make_target(from: &Path, target: &Path) -> io::Result<()> {
    if from.is_dir() {
        return fs::create_dir_all(target);
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    if target.exists() {
        Ok(())
    } else {
        File::create(target).map(drop)
    }
}

/// Gives up every capability except those with which root changes to the user of the hook.
fn give_up_rights(as_root: bool) -> rustix::io::Result<()> {
    clear_ambient_capability_set()?;
    let kept = if as_root {
        CapabilitySet::SETUID | CapabilitySet::SETGID
    } else {
        CapabilitySet::empty()
    };
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )
}

/// Restricts this process and all that it starts to what the hook needs: files by Landlock, and, where the kernel has
/// that (ABI 6), signals and abstract sockets to those of the sandbox.
fn restrict(plan: &Plan) -> Result<(), Box<dyn Error>> {
    // Newer rights are left out on older kernels.
    let abi = ABI::V6;
    let paths = |wanted: &[Rights]| -> Vec<&Path> {
        let parts = plan.parts.iter().filter(|part| wanted.contains(&part.rights));
        parts.map(|part| part.to.as_path()).collect()
    };
    let read = [
        paths(&[Rights::Read]),
        vec![Path::new("/proc"), Path::new("/dev")],
    ]
    .concat();
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev | AccessFs::Truncate;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(read, AccessFs::from_read(abi)))?
        .add_rules(path_beneath_rules(
            paths(&[Rights::Write]),
            AccessFs::from_all(abi),
        ))?
        .add_rules(path_beneath_rules(paths(&[Rights::Device]), device))?
        .restrict_self()?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err("this kernel has no Landlock, or it is switched off".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        let plan = Plan {
            root: "/work/root".into(),
            parts: vec![Part {
                from: "/usr".into(),
                to: "/usr".into(),
                rights: Rights::Read,
            }],
            links: vec![("/bin".into(), "usr/bin".into())],
            masked: vec!["/opt/hallmark/config.toml".into()],
            network: false,
            user: Some(2_000_000_000),
            program: "/osa/image/h".into(),
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), serde_json::to_vec(&plan).unwrap()).unwrap();
        assert_eq!(Plan::read(file.path().as_os_str()).unwrap(), plan);
        assert_eq!(
            plan.outside(Path::new("/usr/bin")),
            Path::new("/work/root/usr/bin")
        );
    }

    #[test]
    fn the_status_of_a_hook_is_passed_on_as_shells_do() {
        for (exited, signal, expected) in [(Some(0), None, 0), (Some(3), None, 3), (None, Some(11), 139)] {
            let code = format!("{:?}", code(exited, signal));
            assert_eq!(code, format!("{:?}", ExitCode::from(expected)));
        }
    }
}
