//! The process between the server and a hook that the server does not start directly.
//!
//! It is a child subreaper (prctl(2)): everything that the hook starts stays below it and can be found, however it
//! detaches itself. Its standard input is a socket to the server. When the server dies, by any signal, the kernel
//! closes the socket, and the supervisor ends everything below it and then itself. It keeps the server's uid while
//! the hook has another (if the server is root), so that the hook cannot harm it.
//!
//! An ingester's own network is made by it before the ingester starts, see `connect.rs`.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, getpid, set_child_subreaper, wait};
use rustix::thread::set_no_new_privs;

use crate::confine::{BUILD, ENTER, confine};
use crate::connect::{HOLD, OWN_NETWORK, hold, join};
use crate::network::NetworkPlan;
use crate::spawn::start;
use crate::tree::Tree;

/// The byte that the server sends when the supervisor's limits are set and the hook may start.
pub(crate) const GO: u8 = b'g';

/// How the hook ended, as the supervisor reports it to the server: one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// It ended with this status.
    Exited(i32),
    /// This signal ended it.
    Signalled(i32),
    /// It could not be started.
    NotStarted(String),
    /// It was not started, because it has no network of its own.
    NoNetwork(String),
}

impl Report {
    fn line(&self) -> String {
        match self {
            Self::Exited(code) => format!("exited {code}\n"),
            Self::Signalled(signal) => format!("signalled {signal}\n"),
            Self::NotStarted(why) => format!("not-started {}\n", why.replace('\n', " ")),
            Self::NoNetwork(why) => format!("no-network {}\n", why.replace('\n', " ")),
        }
    }

    /// Parses the line of a report.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (kind, rest) = line.strip_suffix('\n')?.split_once(' ')?;
        match kind {
            "exited" => rest.parse().ok().map(Self::Exited),
            "signalled" => rest.parse().ok().map(Self::Signalled),
            "not-started" => Some(Self::NotStarted(rest.to_owned())),
            "no-network" => Some(Self::NoNetwork(rest.to_owned())),
            _ => None,
        }
    }
}

/// Runs the supervisor. The `main` of [`SupervisorProgram`](crate::SupervisorProgram) calls it before anything else
/// (it must be the process's only thread), with the arguments that follow
/// [`SupervisorProgram::arguments`](crate::SupervisorProgram::arguments), and returns its result.
pub fn supervise(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let [step, file] = arguments.as_slice()
        && (step == ENTER || step == BUILD)
    {
        return confine(step, file);
    }
    if let [step] = arguments.as_slice()
        && step == HOLD
    {
        return hold();
    }
    match work(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the hook's log.
            let _ = writeln!(io::stderr(), "hook supervisor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: &[OsString]) -> io::Result<()> {
    let (network, arguments) = match arguments {
        [step, plan, rest @ ..] if step == OWN_NETWORK => {
            let plan: NetworkPlan = serde_json::from_slice(plan.as_encoded_bytes())?;
            (Some(plan), rest)
        }
        all => (None, all),
    };
    let [owner, program, rest @ ..] = arguments else {
        return Err(io::Error::other(
            "is only for the server to start, with: [own-network <plan>] <uid|-> <program> [argument...]",
        ));
    };
    let server = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    set_child_subreaper(Some(getpid()))?;
    // Inherited by the hook: no set-uid program gives it more rights.
    set_no_new_privs(true)?;
    let mut go = [0];
    if (&server).read(&mut go)? == 0 {
        return Ok(());
    }
    if let Some(plan) = &network
        && let Err(error) = join(plan, &server)
    {
        end_the_rest();
        let why = Report::NoNetwork(error.to_string());
        return (&server).write_all(why.line().as_bytes());
    }
    let mut command = Command::new(program);
    command.args(rest).stdin(Stdio::null()).process_group(0);
    if let Some(uid) = owner.to_str().and_then(|text| text.parse().ok()) {
        command.uid(uid).gid(uid);
    }
    let hook = match start(&mut command) {
        Ok(child) => Pid::from_child(&child),
        Err(error) => return (&server).write_all(Report::NotStarted(error.to_string()).line().as_bytes()),
    };
    let mut watched = server.try_clone()?;
    std::thread::spawn(move || {
        // The server sends nothing more: this returns when the server has closed its end or died.
        let _ = watched.read(&mut [0]);
        loop {
            Tree::new(getpid(), 1).kill(true);
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    let status = loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == hook => break status,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let sent = (&server).write_all(report(status).line().as_bytes());
    end_the_rest();
    sent
}

fn report(status: WaitStatus) -> Report {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Report::Exited(code),
        (None, Some(signal)) => Report::Signalled(signal),
        (None, None) => Report::NotStarted("the hook ended in an unknown way".to_owned()),
    }
}

/// Ends and reaps everything that the hook left behind.
fn end_the_rest() {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => {
                Tree::new(getpid(), 1).kill(true);
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_written_and_half_a_line_is_none() {
        for report in [
            Report::Exited(3),
            Report::Signalled(11),
            Report::NotStarted("no such file".into()),
            Report::NoNetwork("no device".into()),
        ] {
            assert_eq!(Report::parse(&report.line()), Some(report));
        }
        for bad in ["", "exited 1", "exited x\n", "went 1\n"] {
            assert_eq!(Report::parse(bad), None, "{bad:?}");
        }
    }
}
