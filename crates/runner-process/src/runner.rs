//! The runner itself: one thread per attempt, from the verified image to the read output.

use std::io::{self, PipeReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use domain::{Digest, FailureKind, Limits, TaskId};
use futures::channel::oneshot;
use ports::{Attempt, Blobs, HookJob, PullAttempt, PullJob, RecordFile, Runner, RunnerError, StagedFiles};
use runner_workdir::{
    Done, NOBODY, Owner, WorkDir, cancelled, check_root, prepare_root, read_pull, remove_all, stage,
};

use crate::image::{ImageError, examine, verified_copy};
use crate::launch::{Launcher, Program, not_started};
use crate::options::ProcessRunnerOptions;
use crate::supervisor::Report;
use crate::watch::{Bounds, Ended, Running, Verdict, is_cancelled};

/// The signal with which the kernel ends a process that used up its processor time (signal(7)).
const SIGXCPU: i32 = 24;
/// The signal with which the watchdog ends processes.
const SIGKILL: i32 = 9;

/// Runs hooks as local processes; the crate's description lists what it enforces and what it does not.
#[derive(Clone, Debug)]
pub struct ProcessRunner {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: ProcessRunnerOptions,
    launcher: Launcher,
    drop_to_nobody: bool,
    /// Whether a check is running.
    checking: AtomicBool,
}

impl ProcessRunner {
    /// Creates a runner with these options. Creates the work root, and tries out bubblewrap if it may be used.
    ///
    /// Fails if the work root cannot be created, the server is root and uid 65534 could not reach it, or the
    /// supervisor is not a program.
    pub fn new(options: ProcessRunnerOptions) -> Result<Self, RunnerError> {
        let failed = |e: io::Error| {
            RunnerError::new(
                format!("use {} for work directories", options.work_root.display()),
                e,
            )
        };
        let drop_to_nobody = rustix::process::geteuid().is_root();
        let root = prepare_root(&options.work_root, drop_to_nobody).map_err(failed)?;
        if let Some(supervisor) = options
            .supervisor
            .as_ref()
            .filter(|s| !s.path.is_absolute() || !s.path.is_file())
        {
            let why = format!("{} is not an absolute program path", supervisor.path.display());
            return Err(RunnerError::new("use the supervisor", why));
        }
        let options = ProcessRunnerOptions {
            work_root: root,
            ..options
        };
        let launcher = Launcher::choose(&options, drop_to_nobody);
        Ok(Self {
            inner: Arc::new(Inner {
                options,
                launcher,
                drop_to_nobody,
                checking: AtomicBool::new(false),
            }),
        })
    }

    /// Returns how isolated hooks are on this machine: one sentence, for the server's log at start.
    pub fn describe(&self) -> String {
        let user = if self.inner.drop_to_nobody {
            "as uid 65534"
        } else {
            "as the server's own user"
        };
        match &self.inner.launcher {
            Launcher::Bwrap { program, .. } => format!(
                "hooks run as local processes {user} in bubblewrap ({}): no network, no other processes, a read-only system, write access only to their own directories; a watchdog limits memory, time, processes and disk",
                program.display()
            ),
            Launcher::Supervised(_) => format!(
                "hooks run as local processes {user} with NO SANDBOX: they have the network and can read everything that user can; a watchdog limits memory, time, processes and disk, and a supervisor ends them with the server; install bubblewrap to isolate them"
            ),
            Launcher::Direct { setpriv } => format!(
                "hooks run as local processes {user} with NO SANDBOX: they have the network and can read everything that user can; a watchdog limits memory, time, processes and disk; if the server is killed, {} may continue to run; install bubblewrap to isolate them",
                if setpriv.is_some() {
                    "what a hook started"
                } else {
                    "hooks"
                }
            ),
        }
    }

    /// Returns whether hooks run in bubblewrap.
    pub fn is_sandboxed(&self) -> bool {
        matches!(self.inner.launcher, Launcher::Bwrap { .. })
    }

    /// Removes the work directories that a killed predecessor left, and returns how many. Call it at start-up, before
    /// the first run, and only from the one server that uses the work root: it cannot distinguish a stale directory
    /// from one in use.
    pub fn clean_stale(&self) -> Result<usize, RunnerError> {
        remove_all(&self.inner.options.work_root)
            .map_err(|e| RunnerError::new("remove stale work directories", e))
    }
}

#[async_trait]
impl Runner for ProcessRunner {
    fn name(&self, _image: &str) -> &'static str {
        "process"
    }

    async fn stage(
        &self,
        _image: &str,
        task: TaskId,
        blobs: &dyn Blobs,
        files: &[RecordFile],
    ) -> Result<StagedFiles, RunnerError> {
        stage(&self.inner.options.work_root, task, blobs, files).await
    }

    async fn examine(&self, image: &str, digest: &Digest) -> Result<Option<String>, RunnerError> {
        let (inner, image, digest) = (Arc::clone(&self.inner), image.to_owned(), digest.clone());
        on_a_thread("examine".to_owned(), move |cancel| {
            let sees = |path: &Path| inner.launcher.shows(path, &inner.options);
            let most = inner.options.most_image_bytes;
            Ok(examine(&image, &digest, most, &sees, &|| is_cancelled(cancel)).err())
        })
        .await
    }

    async fn run(&self, job: &HookJob) -> Result<Attempt, RunnerError> {
        let (inner, job) = (Arc::clone(&self.inner), job.clone());
        on_a_thread(format!("hook-{}", job.hook), move |cancel| {
            inner.attempt(&job, cancel)
        })
        .await
    }

    async fn pull(&self, job: &PullJob) -> Result<PullAttempt, RunnerError> {
        let (inner, job) = (Arc::clone(&self.inner), job.clone());
        on_a_thread(format!("pull-{}", job.convention), move |cancel| {
            inner.pull(&job, cancel)
        })
        .await
    }

    async fn check(&self) -> Result<bool, RunnerError> {
        let failed = |inner: &Inner, why: io::Error| {
            let root = inner.options.work_root.display();
            RunnerError::new(format!("make a work directory in {root}"), why)
        };
        // A disk that hangs blocks one thread, not one for each check.
        if self.inner.checking.swap(true, Ordering::AcqRel) {
            return Err(failed(
                &self.inner,
                io::Error::other("the last check has not ended"),
            ));
        }
        let check = Checking(Arc::clone(&self.inner));
        on_a_thread("check".to_owned(), move |_| {
            let made = check_root(&check.0.options.work_root);
            made.map(|()| true).map_err(|why| failed(&check.0, why))
        })
        .await
    }
}

/// A running check, until it is dropped, even if its thread could not be started.
struct Checking(Arc<Inner>);

impl Drop for Checking {
    fn drop(&mut self) {
        self.0.checking.store(false, Ordering::Release);
    }
}

/// Runs `body` on its own thread, and signals it when the caller no longer waits.
async fn on_a_thread<T: Send + 'static>(
    name: String,
    body: impl FnOnce(&PipeReader) -> Result<T, RunnerError> + Send + 'static,
) -> Result<T, RunnerError> {
    // The writing end lives in this future: when that is dropped, the thread sees the pipe closed.
    let (cancel, _alive) = io::pipe().map_err(|e| RunnerError::new("open a pipe", e))?;
    let (send, receive) = oneshot::channel();
    let body = move || {
        // The caller may have gone away.
        let _ = send.send(body(&cancel));
    };
    std::thread::Builder::new()
        .name(name)
        .spawn(body)
        .map_err(|e| RunnerError::new("start a thread", e))?;
    receive
        .await
        .map_err(|e| RunnerError::new("finish the attempt", e))?
}

/// The program to run in a work directory.
struct What<'a> {
    image: &'a str,
    digest: &'a Digest,
    limits: Limits,
    program: Program<'a>,
}

impl Inner {
    fn owner(&self) -> Owner {
        if self.drop_to_nobody {
            Owner::Nobody
        } else {
            Owner::Server
        }
    }

    fn attempt(&self, job: &HookJob, cancel: &PipeReader) -> Result<Attempt, RunnerError> {
        let work = WorkDir::for_hook(&self.options.work_root, job, self.owner())
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
        let done = self.execute(&work, &what, cancel)?;
        let owner = self.drop_to_nobody.then_some(NOBODY);
        Ok(done.into_attempt(&work, job, self.options.caps(), owner))
    }

    fn pull(&self, job: &PullJob, cancel: &PipeReader) -> Result<PullAttempt, RunnerError> {
        let work = WorkDir::for_pull(&self.options.work_root, job, self.owner())
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
        let done = self.execute(&work, &what, cancel)?;
        let pulled = read_pull(&work, self.options.caps());
        Ok(done.into_pull(pulled, Box::new(work)))
    }

    /// Runs a program in its work directory to its end.
    fn execute(&self, work: &WorkDir, what: &What<'_>, cancel: &PipeReader) -> Result<Done, RunnerError> {
        match verified_copy(
            what.image,
            what.digest,
            self.options.most_image_bytes,
            &work.part("image").join(what.program.name),
            &|path| self.launcher.shows(path, &self.options),
        ) {
            Ok(()) => {}
            Err(ImageError::Unusable(why)) => {
                return Ok(Done::never_ran(FailureKind::ImageUnusable(why)));
            }
            Err(ImageError::Copy(error)) => return Err(RunnerError::new("copy the image", error)),
        }
        if is_cancelled(cancel) {
            return Err(cancelled());
        }
        let bounds = Bounds::new(what.limits, &self.options);
        // More than the watchdog allows, so that the watchdog ends the hook and reports the reason.
        let cpu_seconds = bounds.processor_seconds().saturating_add(2);
        let started = self
            .launcher
            .start(work, &what.program, self.drop_to_nobody, cpu_seconds)
            .map_err(|e| RunnerError::new("start the program", e))?;
        let mut running = Running::new(started, self.launcher.wraps(), self.options.most_log_bytes);
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
        let report = if let Launcher::Supervised(_) = self.launcher {
            Report::parse(&ended.report)
        } else {
            let bwrap = matches!(self.launcher, Launcher::Bwrap { .. });
            let refused = bwrap.then(|| not_started(&ended.log)).flatten();
            match (ended.status.exit_status(), ended.status.terminating_signal()) {
                (Some(1), _) if refused.is_some() => refused.map(Report::NotStarted),
                // bubblewrap ends with 128 + n when signal n ended the hook; a hook that exits with such a status
                // looks the same.
                (Some(code @ 129..=192), _) if bwrap => Some(Report::Signalled(code - 128)),
                (Some(code), _) => Some(Report::Exited(code)),
                (None, signal) => signal.map(Report::Signalled),
            }
        };
        match report {
            Some(Report::Exited(0)) => Ok(None),
            Some(Report::Exited(code)) => Ok(Some(FailureKind::HookExit(code))),
            Some(Report::Signalled(SIGXCPU)) => Ok(Some(FailureKind::Timeout(bounds.processor_seconds()))),
            Some(Report::Signalled(signal)) => Ok(Some(FailureKind::Signalled(signal))),
            Some(Report::NotStarted(why)) => Ok(Some(FailureKind::ImageUnusable(format!(
                "it could not be started: {why}"
            )))),
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
