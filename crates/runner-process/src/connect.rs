//! The supervisor's half of an ingester's own network: it makes the network, has a helper connect it, prohibits the
//! addresses of the machine in it, and enters it itself, so that all that it starts afterwards is in it.
//!
//! The network belongs to a user namespace of its own, which a second process, the holder, makes: one process cannot be
//! outside, to start the helper there, and inside. The holder ends when the supervisor has entered. The helper runs
//! beside the ingester, as the attempt's user in the network of the machine, and ends as everything else below the
//! supervisor does: when the ingester has ended, when the attempt is cancelled, or when the server dies.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, getegid, geteuid, pidfd_open, set_parent_process_death_signal,
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::confine::{context, map_ids, unshare};
use crate::network::{BLOCK, NetworkPlan, RESOLVER, RESOLVER_V6};
use crate::options::NetworkHelper;
use crate::rules;

/// The argument with which the supervisor makes a network. The [`NetworkPlan`] follows.
pub(crate) const OWN_NETWORK: &str = "own-network";
/// The argument with which the supervisor's program holds a network.
pub(crate) const HOLD: &str = "hold-network";

/// What the holder says when there is a network.
const READY: &[u8] = b"ready";
/// How long a network may take to be made; a helper needs a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(10);
/// Maximum length of a helper's messages in a reason, in bytes.
const MAX_MESSAGE: u64 = 1024;
/// The device with which a helper makes an interface.
const DEVICE: &str = "/dev/net/tun";

/// Who waits for a network.
struct Patience<'a> {
    server: &'a UnixStream,
    end: Instant,
}

impl Patience<'_> {
    /// Waits until this can be read. Fails if it takes too long, or if the server waits no longer.
    fn wait_for(&self, what: BorrowedFd<'_>) -> io::Result<()> {
        loop {
            let left = self.end.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut fds = [
                PollFd::new(&what, PollFlags::IN),
                PollFd::new(self.server, PollFlags::IN),
            ];
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => return Err(io::Error::other("it took too long")),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            // The server sends nothing more.
            if !fds[1].revents().is_empty() {
                return Err(io::Error::other("the server no longer waits for it"));
            }
            if !fds[0].revents().is_empty() {
                return Ok(());
            }
        }
    }
}

/// Makes a network and enters it. The process has one thread. If this fails, processes may be left below it.
pub(crate) fn join(plan: &NetworkPlan, server: &UnixStream) -> io::Result<()> {
    let patience = Patience {
        server,
        end: Instant::now() + PATIENCE,
    };
    let prohibited = rules::addresses().map_err(context("read the addresses of this machine"))?;
    let mut holder = start_holder(plan).map_err(context("start the holder of a network"))?;
    wait_for_holder(&mut holder, &patience).map_err(context("make a network"))?;
    let space = |name: &str| File::open(format!("/proc/{}/ns/{name}", holder.id()));
    let (user, net) = (space("user")?, space("net")?);
    let helper = plan.helper.kind.program();
    start_helper(
        plan,
        holder.id(),
        [user.try_clone()?, net.try_clone()?],
        &patience,
    )
    .map_err(context(format!("connect a network with {helper}")))?;
    let (uid, gid) = (geteuid(), getegid());
    // Root has rights over every network. Another user has them where it made the network.
    if !uid.is_root() {
        move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))
            .map_err(context("enter the user namespace of a network"))?;
    }
    move_into_link_name_space(net.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(context("enter a network"))?;
    rules::prohibit(&prohibited).map_err(context("prohibit the addresses of this machine"))?;
    if !uid.is_root() {
        // What is started from here on must not have the rights with which the rules were made.
        unshare(UnshareFlags::NEWUSER).map_err(context("leave the user namespace of a network"))?;
        map_ids([uid.as_raw(), gid.as_raw()], [0, 0])?;
    }
    // The holder ends when it reads the end of this.
    drop(holder.stdin.take());
    Ok(())
}

/// Starts the process that makes the network.
fn start_holder(plan: &NetworkPlan) -> io::Result<Child> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let before = words.iter().take_while(|word| *word != OWN_NETWORK);
    let mut command = Command::new("/proc/self/exe");
    command
        .args(before)
        .arg(HOLD)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(user) = plan.user {
        command.uid(user).gid(user);
    }
    command.spawn()
}

/// Waits until the holder has made the network.
fn wait_for_holder(holder: &mut Child, patience: &Patience<'_>) -> io::Result<()> {
    let mut words = holder
        .stdout
        .take()
        .ok_or_else(|| io::Error::other("it has no output"))?;
    patience.wait_for(words.as_fd())?;
    let mut answer = [0; 256];
    let length = words.read(&mut answer)?;
    match answer.get(..length).unwrap_or_default() {
        READY => Ok(()),
        [] => Err(io::Error::other("the process that was to make it has ended")),
        why => Err(io::Error::other(String::from_utf8_lossy(why).into_owned())),
    }
}

/// Holds a network, until the supervisor has entered it or has ended.
pub(crate) fn hold() -> ExitCode {
    let made = || -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        let (uid, gid) = (geteuid(), getegid());
        unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET).map_err(context("make namespaces"))?;
        // Helpers need a root to become in order to close themselves off.
        map_ids([0, 0], [uid.as_raw(), gid.as_raw()])
    };
    let made = made();
    let told = match &made {
        Ok(()) => io::stdout().write_all(READY),
        Err(error) => io::stdout().write_all(error.to_string().as_bytes()),
    };
    if told.and_then(|()| io::stdout().flush()).is_err() || made.is_err() {
        return ExitCode::FAILURE;
    }
    let _ = io::stdin().read(&mut [0]);
    ExitCode::SUCCESS
}

/// Starts the helper of the network that the process `holder` is in, and waits until the network is connected.
fn start_helper(
    plan: &NetworkPlan,
    holder: u32,
    spaces: [File; 2],
    patience: &Patience<'_>,
) -> io::Result<()> {
    let log = File::create(&plan.log)?;
    let mut command = Command::new(&plan.helper.program);
    command
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    // Where only root may open the device, the helper stays root, without rights.
    let user = plan.user.filter(|_| is_open_to_all(DEVICE));
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let is_root = user.is_none() && geteuid().is_root();
    let started = match plan.helper.kind {
        NetworkHelper::Pasta => start_pasta(&mut command, holder, spaces, is_root, patience),
        NetworkHelper::Slirp4netns => start_slirp4netns(command, holder, patience),
    };
    started.map_err(|error| io::Error::other(format!("{error} {}", messages(plan)).trim_end().to_owned()))
}

/// Returns whether every user may read and write a file.
fn is_open_to_all(path: &str) -> bool {
    fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o6 == 0o6)
}

/// Returns what the helper has said, in one line.
fn messages(plan: &NetworkPlan) -> String {
    let mut text = Vec::new();
    if let Ok(log) = File::open(&plan.log) {
        let _ = log.take(MAX_MESSAGE).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    text.lines().collect::<Vec<_>>().join("; ")
}

/// Starts pasta. It goes into the background when the network is connected.
fn start_pasta(
    command: &mut Command,
    holder: u32,
    [user, net]: [File; 2],
    is_root: bool,
    patience: &Patience<'_>,
) -> io::Result<()> {
    command.args(["--quiet", "--config-net", "--no-map-gw", "--no-netns-quit"]);
    // No port of either side is forwarded to the other.
    command.args(["-t", "none", "-u", "none", "-T", "none", "-U", "none"]);
    command.args(["--dns-forward", RESOLVER, "--dns-forward", RESOLVER_V6]);
    if is_root {
        // It gives up the right to look at processes of others first, so it is handed the namespaces; later versions
        // close all other descriptors.
        command.args(["--runas", "0:0"]);
        command.args(["--userns", "/proc/self/fd/0", "--netns", "/proc/self/fd/1"]);
        command.stdin(user).stdout(net);
    } else {
        let space = |name: &str| format!("/proc/{holder}/ns/{name}");
        command.args([
            "--userns".to_owned(),
            space("user"),
            "--netns".to_owned(),
            space("net"),
        ]);
    }
    let mut child = command.spawn()?;
    let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    patience.wait_for(handle.as_fd())?;
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("it ended with {status}:")))
}

/// Starts slirp4netns. It says when the network is connected.
fn start_slirp4netns(mut command: Command, holder: u32, patience: &Patience<'_>) -> io::Result<()> {
    let (mut ready, theirs) = UnixStream::pair()?;
    command.args(["--configure", "--mtu=65520", "--disable-host-loopback"]);
    command.args(["--enable-sandbox", "--enable-seccomp"]);
    command.arg(format!("--cidr={BLOCK}"));
    command.arg(format!("--userns-path=/proc/{holder}/ns/user"));
    command.arg("--ready-fd=0").stdin(OwnedFd::from(theirs));
    command.args([holder.to_string(), "tap0".to_owned()]);
    let mut child = command.spawn()?;
    // With it goes this process's copy of their end.
    drop(command);
    patience.wait_for(ready.as_fd())?;
    if ready.read(&mut [0])? > 0 {
        return Ok(());
    }
    child.kill()?;
    child.wait()?;
    Err(io::Error::other("it did not connect it:"))
}
