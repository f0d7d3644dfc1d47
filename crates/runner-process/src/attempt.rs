//! One attempt: from the verified image to the read output.

use std::io::PipeReader;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use domain::{Digest, FailureKind, FileName, Limits, SourceId};
use ports::{Attempt, HookJob, PullAttempt, PullJob, PulledFile, PulledFiles, RunnerError, StagedFiles};
use runner_workdir::{Done, Owner, WorkDir, cancelled, read_pull};

use crate::cgroup::{Cgroup, Cgroups};
use crate::image::{ImageError, Policy, verified_copy};
use crate::launch::{Hold, Isolation, Launcher, not_started};
use crate::network::Network;
use crate::options::ProcessRunnerOptions;
use crate::program::Program;
use crate::supervisor::Report;
use crate::uids::{Lease, Uids};
use crate::watch::{Bounds, Ended, Running, Verdict, is_cancelled};

/// The signal with which the kernel ends a process that used up its processor time (signal(7)).
const SIGXCPU: i32 = 24;
/// The signal with which the watchdog ends processes.
const SIGKILL: i32 = 9;
/// How many processes more than a hook may have the kernel allows its uid: those of the sandbox, and enough for the
/// watchdog to see that there are too many.
const MORE_PROCESSES: u64 = 1024;

/// A runner, shared by its attempts.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) options: ProcessRunnerOptions,
    pub(crate) launcher: Launcher,
    /// The users of hooks, if the server is root.
    pub(crate) uids: Option<Uids>,
    /// Where control groups are made, if the server can make any.
    pub(crate) cgroups: Option<Cgroups>,
    /// Whether a check is running.
    pub(crate) checking: AtomicBool,
}

/// The program to run in a work directory.
struct What<'a> {
    image: &'a str,
    digest: &'a Digest,
    limits: Limits,
    program: Program<'a>,
}

impl Inner {
    /// Returns what holds the limits.
    pub(crate) fn limits(&self) -> &'static str {
        if self.cgroups.is_some() {
            "a control group and a watchdog limit memory and processes, the watchdog time and disk"
        } else {
            "a watchdog limits memory, time, processes and disk"
        }
    }

    /// Returns which images may be run.
    pub(crate) fn policy<'a>(&'a self, sees: &'a dyn Fn(&Path) -> bool) -> Policy<'a> {
        Policy {
            dirs: self.options.image_dirs.as_deref(),
            most: self.options.most_image_bytes,
            sees,
        }
    }

    /// Takes a user for an attempt, if the server is root.
    pub(crate) fn lease(&self) -> Result<Option<Lease>, RunnerError> {
        self.uids
            .as_ref()
            .map(Uids::take)
            .transpose()
            .map_err(|e| RunnerError::new("give the program a user of its own", e))
    }

    pub(crate) fn attempt(&self, job: &HookJob, cancel: &PipeReader) -> Result<Attempt, RunnerError> {
        // Dropped after the work directory: until then the uid has files.
        let lease = self.lease()?;
        let work = WorkDir::for_hook(&self.options.work_root, job, owner(lease.as_ref()))
            .map_err(|e| RunnerError::new("make a work directory", e))?;
        let what = What {
            image: &job.image,
            digest: &job.digest,
            limits: job.limits,
            program: Program {
                name: job.hook.as_str(),
                staged: job.files.as_ref().map(StagedFiles::path),
                ingester: false,
                environment: WorkDir::hook_environment(job),
            },
        };
        let done = self.execute(&work, &what, lease.as_ref(), cancel)?;
        let uid = lease.as_ref().map(|lease| lease.uid);
        Ok(done.into_attempt(&work, job, self.options.caps(), uid))
    }

    pub(crate) fn pull(&self, job: &PullJob, cancel: &PipeReader) -> Result<PullAttempt, RunnerError> {
        let lease = self.lease()?;
        let work = WorkDir::for_pull(&self.options.work_root, job, owner(lease.as_ref()))
            .map_err(|e| RunnerError::new("make a work directory", e))?;
        let what = What {
            image: &job.image,
            digest: &job.digest,
            limits: job.limits,
            program: Program {
                name: "ingester",
                staged: None,
                ingester: true,
                environment: WorkDir::pull_environment(job),
            },
        };
        let done = self.execute(&work, &what, lease.as_ref(), cancel)?;
        let pulled = read_pull(&work, self.options.caps());
        Ok(done.into_pull(pulled, Box::new(Left { work, _user: lease })))
    }

    /// Verifies a program, and runs it in its work directory to its end.
    fn execute(
        &self,
        work: &WorkDir,
        what: &What<'_>,
        lease: Option<&Lease>,
        cancel: &PipeReader,
    ) -> Result<Done, RunnerError> {
        if let Isolation::Refused(why) = &self.launcher.isolation {
            return Ok(Done::never_ran(FailureKind::Misconfigured(why.clone())));
        }
        if let (Network::Refused(why), true) = (&self.launcher.network, what.program.ingester) {
            return Ok(Done::never_ran(FailureKind::Misconfigured(why.clone())));
        }
        let sees = |path: &Path| self.launcher.shows(path);
        let copy = work.part("image").join(what.program.name);
        match verified_copy(what.image, what.digest, self.policy(&sees), &copy) {
            Ok(()) => {}
            Err(ImageError::Unusable(why)) => {
                return Ok(Done::never_ran(FailureKind::ImageUnusable(why)));
            }
            Err(ImageError::Copy(error)) => return Err(RunnerError::new("copy the image", error)),
        }
        if is_cancelled(cancel) {
            return Err(cancelled());
        }
        self.run(work, &what.program, what.limits, lease, cancel)
    }

    /// Runs the program that is in a work directory.
    pub(crate) fn run(
        &self,
        work: &WorkDir,
        program: &Program<'_>,
        limits: Limits,
        lease: Option<&Lease>,
        cancel: &PipeReader,
    ) -> Result<Done, RunnerError> {
        let bounds = Bounds::new(limits, &self.options);
        let memory = limits.memory.bytes();
        let helper = self.launcher.network.helper_memory(program);
        // Where one cannot be made after all, the watchdog holds the limits alone.
        let cgroup = self.cgroups.as_ref().and_then(|groups| {
            let name = work.path().file_name()?.to_string_lossy().into_owned();
            let made = groups.make(&name, memory.saturating_add(helper), self.options.most_processes);
            made.inspect_err(|error| tracing::warn!(%error, "a control group could not be made"))
                .ok()
        });
        let hold = Hold {
            user: lease.map(|lease| lease.uid),
            // More than the watchdog allows, so that the watchdog ends the hook and reports the reason.
            cpu_seconds: bounds.processor_seconds().saturating_add(2),
            // More than the disk limit, so that the watchdog sees that it is exceeded.
            file_bytes: self.options.most_disk_bytes.saturating_add(1 << 20),
            processes: (self.options.most_processes as u64).saturating_add(MORE_PROCESSES),
            cgroup: cgroup.as_ref(),
        };
        let started = self
            .launcher
            .start(work, program, &hold)
            .map_err(|e| RunnerError::new("start the program", e))?;
        let mut running = Running::new(started, self.options.most_log_bytes);
        let verdict = running
            .watch(&bounds, work, cancel)
            .map_err(|e| RunnerError::new("watch the program", e))?;
        let duration = running.age();
        let ended = running
            .end()
            .map_err(|e| RunnerError::new("end every process of the program", e))?;
        let failure = match verdict {
            Verdict::Cancelled => return Err(cancelled()),
            Verdict::Limit(kind) => Some(kind),
            Verdict::TooManyProcesses => Some(FailureKind::Signalled(SIGKILL)),
            // The kernel may have been faster than the watchdog.
            Verdict::Ended if cgroup.as_ref().is_some_and(Cgroup::ended_by_memory) => {
                Some(FailureKind::Oom(memory))
            }
            Verdict::Ended => self.how_it_ended(&ended, &bounds)?,
        };
        Ok(Done {
            failure,
            log: ended.log,
            duration,
            peak_memory_bytes: Some(ended.peak),
            ran: true,
        })
    }

    fn how_it_ended(&self, ended: &Ended, bounds: &Bounds<'_>) -> Result<Option<FailureKind>, RunnerError> {
        let outer = if ended.supervised {
            Report::parse(&ended.report)
        } else {
            match (ended.status.exit_status(), ended.status.terminating_signal()) {
                (Some(code), _) => Some(Report::Exited(code)),
                (None, signal) => signal.map(Report::Signalled),
            }
        };
        let inside = self.launcher.is_sandbox();
        let refused = inside.then(|| not_started(&ended.log)).flatten();
        let report = match outer {
            Some(Report::Exited(1)) if refused.is_some() => refused.map(Report::NotStarted),
            // A sandbox ends with 128 + n when signal n ended the hook; a hook that exits with such a status looks the
            // same.
            Some(Report::Exited(code @ 129..=192)) if inside => Some(Report::Signalled(code - 128)),
            other => other,
        };
        match report {
            Some(Report::Exited(0)) => Ok(None),
            Some(Report::Exited(code)) => Ok(Some(FailureKind::HookExit(code))),
            Some(Report::Signalled(SIGXCPU)) => Ok(Some(FailureKind::Timeout(bounds.processor_seconds()))),
            Some(Report::Signalled(signal)) => Ok(Some(FailureKind::Signalled(signal))),
            Some(Report::NotStarted(why)) => Ok(Some(FailureKind::ImageUnusable(format!(
                "it could not be started: {why}"
            )))),
            // Of the ingester, nothing ran: it is the machine's failure, and may pass.
            Some(Report::NoNetwork(why)) => {
                tracing::warn!(why, "an ingester was given no network of its own");
                Err(RunnerError::new("give the ingester a network of its own", why))
            }
            // Only the supervisor's death leaves no report. Running as the server's user, the hook may have killed it.
            None => match ended.status.terminating_signal() {
                Some(signal) => Ok(Some(FailureKind::Signalled(signal))),
                None => Err(RunnerError::new(
                    "supervise the hook",
                    String::from_utf8_lossy(&ended.log).into_owned(),
                )),
            },
        }
    }
}

/// Returns who writes into the work directory of an attempt.
pub(crate) fn owner(lease: Option<&Lease>) -> Owner {
    lease.map_or(Owner::Server, |lease| Owner::User(lease.uid))
}

/// The files that an ingester left, and its user, who owns them.
struct Left {
    work: WorkDir,
    _user: Option<Lease>,
}

#[async_trait]
impl PulledFiles for Left {
    async fn open(&self, record: &SourceId, name: &FileName) -> Result<Option<PulledFile>, RunnerError> {
        self.work.open(record, name).await
    }
}
