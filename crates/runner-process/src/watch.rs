//! The watchdog of one hook: enforces its limits while it runs, and leaves nothing of it running.

use std::io::{self, PipeReader, Read as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::process::Child;
use std::time::{Duration, Instant};

use domain::{FailureKind, Limits};
use runner_workdir::{Held, LogTail, WorkDir, measure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, waitid};

use crate::launch::Started;
use crate::options::ProcessRunnerOptions;
use crate::tree::Tree;

/// The interval at which the tree is scanned.
const TICK: Duration = Duration::from_millis(20);
/// The same, once half of the memory is used: a hook can fill some hundred MiB in one long tick.
const SHORT_TICK: Duration = Duration::from_millis(4);
/// The interval at which the disk is measured, and all of `/proc` read.
const LONG_TICK: Duration = Duration::from_millis(250);
/// How long the supervisor or bubblewrap may take to end after the hook before it is killed too.
const WRAPPER_PATIENCE: Duration = Duration::from_secs(2);
/// How long everything may take to end. Only a process that hangs in the kernel takes longer than milliseconds.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// Why the watchdog ended a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It ended by itself.
    Ended,
    /// It exceeded a limit.
    Limit(FailureKind),
    /// It had more processes than allowed. The domain has no such failure, so it shows as the signal that this sends.
    TooManyProcesses,
    /// The attempt is no longer awaited.
    Cancelled,
}

/// The limits of a hook.
pub(crate) struct Bounds<'a> {
    limits: Limits,
    options: &'a ProcessRunnerOptions,
}

impl<'a> Bounds<'a> {
    /// Combines these limits with those of the server's options.
    pub(crate) const fn new(limits: Limits, options: &'a ProcessRunnerOptions) -> Self {
        Self { limits, options }
    }

    /// Returns the processor time that the whole tree may use: its share of the cores over its wall clock limit. A
    /// hook with `cpu` 0.5 that computes on one core all the time is ended at half of its time, where a container
    /// engine would have slowed it down to the same amount of work.
    pub(crate) fn processor(&self) -> Duration {
        let milliseconds = u64::from(self.limits.timeout_seconds) * u64::from(self.limits.cpu.millicores());
        Duration::from_millis(milliseconds.max(1000))
    }

    /// Returns the same in whole seconds, rounded up.
    pub(crate) fn processor_seconds(&self) -> u64 {
        self.processor()
            .as_millis()
            .div_ceil(1000)
            .try_into()
            .unwrap_or(u64::MAX)
    }
}

/// A started hook with everything that belongs to it. Dropping it ends the hook.
pub(crate) struct Running {
    child: Child,
    wrapped: bool,
    tree: Tree,
    control: Option<std::os::unix::net::UnixStream>,
    log_pipe: Option<PipeReader>,
    log: LogTail,
    started: Instant,
    peak: u64,
    over: bool,
}

/// The state of a hook after its end.
pub(crate) struct Ended {
    /// Whether the server's child was a supervisor.
    pub(crate) supervised: bool,
    /// How the server's child ended.
    pub(crate) status: WaitIdStatus,
    /// The supervisor's last report.
    pub(crate) report: String,
    /// The printed output of the hook.
    pub(crate) log: Vec<u8>,
    /// The highest resident memory observed, in bytes.
    pub(crate) peak: u64,
}

impl Running {
    /// Takes over a started program.
    pub(crate) fn new(started: Started, most_log_bytes: usize) -> Self {
        let tree = Tree::new(Pid::from_child(&started.child), started.wrappers);
        let tree = if let Some(mark) = started.mark {
            tree.marked(mark)
        } else {
            tree
        };
        Self {
            child: started.child,
            wrapped: started.wrappers > 0,
            tree,
            control: started.control,
            log_pipe: Some(started.log),
            log: LogTail::new(most_log_bytes),
            started: Instant::now(),
            peak: 0,
            over: false,
        }
    }

    /// Adds a line of the runner's own to the log.
    pub(crate) fn note(&mut self, text: &str) {
        self.log.push(format!("\n[runner] {text}\n").as_bytes());
    }

    /// Returns how long it has run.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Returns how the child ended, if it did. It stays a zombie, so that its pid stays its own.
    fn peek(&self) -> io::Result<Option<WaitIdStatus>> {
        Ok(waitid(
            WaitId::Pid(self.pid()),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT,
        )?)
    }

    /// Waits until the hook has ended, must be ended, or is no longer awaited: `cancel` is readable or closed.
    pub(crate) fn watch(
        &mut self,
        bounds: &Bounds<'_>,
        work: &WorkDir,
        cancel: &PipeReader,
    ) -> io::Result<Verdict> {
        let handle = pidfd_open(self.pid(), PidfdFlags::empty())?;
        let (mut next, mut next_long) = (self.started, self.started + LONG_TICK);
        loop {
            let now = Instant::now();
            if now >= next {
                let thorough = now >= next_long;
                let (verdict, short) = self.look(bounds, thorough, work);
                if let Some(verdict) = verdict {
                    return Ok(verdict);
                }
                // Measured from the end of the scan: on a slow disk there must be time for reading the log too.
                let now = Instant::now();
                next = now + if short { SHORT_TICK } else { TICK };
                next_long = if thorough { now + LONG_TICK } else { next_long };
            }
            match self.wait_for_event(&handle, cancel, next.saturating_duration_since(Instant::now()))? {
                Event::Cancel => return Ok(Verdict::Cancelled),
                Event::Exit => return Ok(Verdict::Ended),
                Event::None => {}
            }
        }
    }

    /// Scans the tree once. Returns whether to end it, and whether to scan again soon.
    fn look(&mut self, bounds: &Bounds<'_>, thorough: bool, work: &WorkDir) -> (Option<Verdict>, bool) {
        let limit = bounds.limits.memory.bytes();
        let usage = self.tree.usage(thorough);
        let mut resident = usage.resident;
        // A page counts more than its share if processes that share it appear between two reads, so an excess must
        // persist. A real excess only grows meanwhile.
        for _ in 0..3 {
            if resident > limit && usage.processes > 1 {
                resident = self.tree.proportional_memory();
                self.tree.usage(false);
            }
        }
        // Files without a name are in no directory, and memory that is not mapped is in no process.
        let held = if thorough {
            let disk = std::fs::metadata(work.path()).map_or(0, |about| about.dev());
            self.tree.held(disk)
        } else {
            Held::default()
        };
        let memory = resident.saturating_add(held.unmapped());
        self.peak = self.peak.max(memory);
        let verdict = if memory > limit {
            self.note(&format!(
                "ended: {memory} bytes of memory, {} of them not mapped; the limit is {limit}",
                memory - resident
            ));
            Some(Verdict::Limit(FailureKind::Oom(limit)))
        } else if self.age() >= bounds.limits.timeout() {
            self.note(&format!("ended: ran for its {} s", bounds.limits.timeout_seconds));
            Some(Verdict::Limit(FailureKind::Timeout(u64::from(
                bounds.limits.timeout_seconds,
            ))))
        } else if usage.processor >= bounds.processor() {
            self.note(&format!(
                "ended: used its {} s of processor time ({} s of {} cores)",
                bounds.processor_seconds(),
                bounds.limits.timeout_seconds,
                bounds.limits.cpu
            ));
            Some(Verdict::Limit(FailureKind::Timeout(bounds.processor_seconds())))
        } else if usage.processes > bounds.options.most_processes {
            self.note(&format!(
                "ended: had {} processes, at most {} are allowed",
                usage.processes, bounds.options.most_processes
            ));
            Some(Verdict::TooManyProcesses)
        } else if thorough {
            over_disk(bounds.options, work, held.disk).map(|why| {
                self.note(&format!("ended: {why}"));
                Verdict::Limit(FailureKind::Output(why))
            })
        } else {
            None
        };
        (verdict, usage.resident > limit / 2)
    }

    fn wait_for_event(&mut self, handle: &OwnedFd, cancel: &PipeReader, most: Duration) -> io::Result<Event> {
        let timeout = Timespec {
            tv_sec: most.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: most.subsec_nanos().into(),
        };
        let mut fds = vec![
            PollFd::new(cancel, PollFlags::IN),
            PollFd::new(handle, PollFlags::IN),
        ];
        if let Some(pipe) = &self.log_pipe {
            fds.push(PollFd::new(pipe, PollFlags::IN));
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Event::None),
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready[0] {
            return Ok(Event::Cancel);
        }
        if ready.get(2) == Some(&true) {
            self.read_log();
        }
        Ok(if ready[1] { Event::Exit } else { Event::None })
    }

    /// Reads once from the log's pipe, which must be ready.
    fn read_log(&mut self) {
        let Some(pipe) = &mut self.log_pipe else { return };
        let mut buffer = [0; 16 * 1024];
        match pipe.read(&mut buffer) {
            Ok(0) => self.log_pipe = None,
            Ok(count) => self.log.push(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.log_pipe = None,
        }
    }

    /// Ends everything that still runs, reads the printed output of the hook, and waits for the child.
    pub(crate) fn end(mut self) -> io::Result<Ended> {
        let status = self.end_all()?;
        // No process of the hook is left, so its output is in the pipe. Waiting for the pipe's end could mean waiting
        // for a stranger that the hook passed it to.
        while let Some(pipe) = &self.log_pipe {
            let mut fds = [PollFd::new(pipe, PollFlags::IN)];
            if !poll(
                &mut fds,
                Some(&Timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                }),
            )
            .is_ok_and(|ready| ready > 0)
            {
                break;
            }
            self.read_log();
        }
        let mut report = String::new();
        if let Some(socket) = &self.control {
            socket.set_read_timeout(Some(Duration::from_secs(1)))?;
            // An unreadable report counts as missing.
            let _ = socket.take(4096).read_to_string(&mut report);
        }
        let log = std::mem::replace(&mut self.log, LogTail::new(0)).into_bytes();
        Ok(Ended {
            supervised: self.control.is_some(),
            status,
            report,
            log,
            peak: self.peak,
        })
    }

    fn end_all(&mut self) -> io::Result<WaitIdStatus> {
        // From here on, dropping must not try again.
        self.over = true;
        if let Some(socket) = &self.control {
            let _ = socket.shutdown(Shutdown::Write);
        }
        let begun = Instant::now();
        loop {
            // The supervisor or bubblewrap reaps what is killed below it and then ends. Killing it too would leave
            // that to the next process up, which may be the server itself and does not.
            let spare_root = self.wrapped && begun.elapsed() < WRAPPER_PATIENCE;
            let alive = self.tree.kill(spare_root);
            if let (0, Some(status)) = (alive, self.peek()?) {
                self.child.wait()?;
                self.tree.reap();
                return Ok(status);
            }
            if begun.elapsed() > END_PATIENCE {
                return Err(io::Error::other(format!(
                    "{alive} processes did not end when killed"
                )));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            let _ = self.end_all();
        }
    }
}

/// Returns whether the attempt was cancelled: `cancel` is readable or closed.
pub(crate) fn is_cancelled(cancel: &PipeReader) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut [PollFd::new(cancel, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
}

enum Event {
    None,
    Exit,
    Cancel,
}

/// Returns why the disk use is too large, if it is. `unnamed` bytes are in files that are in no directory.
fn over_disk(options: &ProcessRunnerOptions, work: &WorkDir, unnamed: u64) -> Option<String> {
    let used = measure(work.path(), options.most_files);
    let bytes = used.bytes.saturating_add(unnamed);
    if bytes > options.most_disk_bytes {
        Some(format!(
            "it wrote {bytes} bytes to disk; at most {} are allowed",
            options.most_disk_bytes
        ))
    } else if used.files > options.most_files {
        Some(format!(
            "it made more than {} files, or directories more than 64 deep",
            options.most_files
        ))
    } else {
        None
    }
}
