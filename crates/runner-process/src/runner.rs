//! The runner itself: one thread per attempt, from the verified image to the read output.

use std::io::{self, PipeReader};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::outcome::HookOutput;
use domain::{FailureKind, SourceId};
use futures::channel::oneshot;
use ports::{Attempt, HookJob, HookRunner, RunnerError};

use crate::image::{ImageError, verified_copy};
use crate::launch::Launcher;
use crate::options::ProcessRunnerOptions;
use crate::output;
use crate::supervisor::Report;
use crate::watch::{Bounds, Ended, Running, Verdict, nobody_waits};
use crate::workdir::{NOBODY, WorkDir, closed_to_nobody, remove_all};

/// The signal by which the kernel ends a process that used up its processor time (signal(7)).
const SIGXCPU: i32 = 24;
/// The signal by which the watchdog ends processes.
const SIGKILL: i32 = 9;

/// Runs hooks as local processes; see the crate's description for what it holds and what it does not.
#[derive(Clone, Debug)]
pub struct ProcessRunner {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: ProcessRunnerOptions,
    launcher: Launcher,
    drop_to_nobody: bool,
}

impl ProcessRunner {
    /// A runner with these options. Makes the work root, and tries out bubblewrap if it may be used.
    ///
    /// Fails if the work root cannot be made, the server is root and uid 65534 could not reach it, or the supervisor is no program.
    pub fn new(options: ProcessRunnerOptions) -> Result<Self, RunnerError> {
        let failed = |e: io::Error| {
            RunnerError::new(
                format!("use {} for work directories", options.work_root.display()),
                e,
            )
        };
        let drop_to_nobody = rustix::process::geteuid().is_root();
        let root = std::path::absolute(&options.work_root).map_err(failed)?;
        std::fs::create_dir_all(&root).map_err(failed)?;
        // Not listable: hooks share a uid, and must not find each other's directories.
        let mode = if drop_to_nobody { 0o711 } else { 0o700 };
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
        if drop_to_nobody && let Some(closed) = closed_to_nobody(&root).map_err(failed)? {
            let why = format!(
                "hooks run as uid {NOBODY} and cannot pass through {}; chmod o+x it, or choose another work root",
                closed.display()
            );
            return Err(failed(io::Error::new(io::ErrorKind::PermissionDenied, why)));
        }
        if let Some(supervisor) = options
            .supervisor
            .as_ref()
            .filter(|s| !s.path.is_absolute() || !s.path.is_file())
        {
            let why = format!("{} is no absolute path of a program", supervisor.path.display());
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
            }),
        })
    }

    /// How isolated hooks are on this machine: one sentence, for the server to log when it starts.
    pub fn describe(&self) -> String {
        let user = if self.inner.drop_to_nobody {
            "as uid 65534"
        } else {
            "as the server's own user"
        };
        match &self.inner.launcher {
            Launcher::Bwrap { program, .. } => format!(
                "hooks run as local processes {user} in bubblewrap ({}): no network, no other processes, a read-only system, only their own directories to write to; memory, time, processes and disk are held by a watchdog",
                program.display()
            ),
            Launcher::Supervised(_) => format!(
                "hooks run as local processes {user} with NO SANDBOX: they have the network and can read whatever that user can; a watchdog holds memory, time, processes and disk, and a supervisor ends them with the server; install bubblewrap to isolate them"
            ),
            Launcher::Direct { setpriv } => format!(
                "hooks run as local processes {user} with NO SANDBOX: they have the network and can read whatever that user can; a watchdog holds memory, time, processes and disk; if the server is killed, {} may go on running; install bubblewrap to isolate them",
                if setpriv.is_some() {
                    "what a hook started"
                } else {
                    "hooks"
                }
            ),
        }
    }

    /// Whether hooks run in bubblewrap.
    pub fn is_sandboxed(&self) -> bool {
        matches!(self.inner.launcher, Launcher::Bwrap { .. })
    }

    /// Removes the work directories that a predecessor left because it was killed, and says how many it were. To be
    /// called at start-up, before the first run, and only by the one server that uses the work root: it cannot tell a stale directory from one in use.
    pub fn clean_stale(&self) -> Result<usize, RunnerError> {
        remove_all(&self.inner.options.work_root)
            .map_err(|e| RunnerError::new("remove stale work directories", e))
    }
}

#[async_trait]
impl HookRunner for ProcessRunner {
    fn name(&self) -> &'static str {
        "process"
    }

    async fn run(&self, job: &HookJob) -> Result<Attempt, RunnerError> {
        let (inner, job) = (Arc::clone(&self.inner), job.clone());
        // The writing end lives in this future: when that is dropped, the thread sees the pipe closed.
        let (cancel, _alive) = io::pipe().map_err(|e| RunnerError::new("open a pipe", e))?;
        let (send, receive) = oneshot::channel();
        let thread = std::thread::Builder::new().name(format!("hook-{}", job.hook));
        let body = move || {
            // Nobody may be waiting any more.
            let _ = send.send(inner.attempt(&job, &cancel));
        };
        thread
            .spawn(body)
            .map_err(|e| RunnerError::new("start a thread", e))?;
        receive
            .await
            .map_err(|e| RunnerError::new("finish the attempt", e))?
    }
}

impl Inner {
    fn attempt(&self, job: &HookJob, cancel: &PipeReader) -> Result<Attempt, RunnerError> {
        let name = job.hook.as_str();
        let work = WorkDir::create(&self.options.work_root, job, self.drop_to_nobody)
            .map_err(|e| RunnerError::new("make a work directory", e))?;
        match verified_copy(
            &job.image,
            &job.digest,
            self.options.most_image_bytes,
            &work.part("image").join(name),
        ) {
            Ok(()) => {}
            Err(ImageError::Unusable(why)) => return Ok(never_ran(why)),
            Err(ImageError::Copy(error)) => return Err(RunnerError::new("copy the image", error)),
        }
        if nobody_waits(cancel) {
            return Err(cancelled());
        }
        let bounds = Bounds::new(job.limits, &self.options);
        // More than the watchdog allows, so that it is the watchdog that ends the hook and says why.
        let cpu_seconds = bounds.processor_seconds().saturating_add(2);
        let started = self
            .launcher
            .start(&work, name, self.drop_to_nobody, cpu_seconds)
            .map_err(|e| RunnerError::new("start the hook", e))?;
        let mut running = Running::new(started, self.launcher.wraps(), self.options.most_log_bytes);
        let verdict = running
            .watch(&bounds, &work, cancel)
            .map_err(|e| RunnerError::new("watch the hook", e))?;
        let duration = running.age();
        let ended = running
            .end()
            .map_err(|e| RunnerError::new("end every process of the hook", e))?;
        let failure = match verdict {
            Verdict::Cancelled => return Err(cancelled()),
            Verdict::Limit(kind) => Some(kind),
            Verdict::TooManyProcesses => Some(FailureKind::Signalled(SIGKILL)),
            Verdict::Ended => self.how_it_ended(&ended, &bounds)?,
        };
        let only: Option<&SourceId> = if let [record] = job.records.as_slice() {
            Some(&record.id)
        } else {
            None
        };
        let read = output::read(
            work.out(),
            &self.options,
            self.drop_to_nobody.then_some(NOBODY),
            only,
        );
        let failure = match (failure, read.fault) {
            // A limit says why the output is as it is; an exit status does not.
            (Some(kind @ (FailureKind::Oom(_) | FailureKind::Timeout(_) | FailureKind::Output(_))), _) => {
                Some(kind)
            }
            (_, Some(why)) => Some(FailureKind::Output(why)),
            (failure, None) => failure,
        };
        Ok(Attempt {
            failure,
            output: read.output,
            log: ended.log,
            duration,
            peak_memory_bytes: Some(ended.peak),
        })
    }

    fn how_it_ended(&self, ended: &Ended, bounds: &Bounds<'_>) -> Result<Option<FailureKind>, RunnerError> {
        let report = if let Launcher::Supervised(_) = self.launcher {
            Report::parse(&ended.report)
        } else {
            match (ended.status.exit_status(), ended.status.terminating_signal()) {
                // bubblewrap ends with 128 + n when signal n ended the hook; a hook that ends so itself looks the same.
                (Some(code @ 129..=192), _) if matches!(self.launcher, Launcher::Bwrap { .. }) => {
                    Some(Report::Signalled(code - 128))
                }
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

/// What nobody will read.
fn cancelled() -> RunnerError {
    RunnerError::new("finish the attempt", "it was cancelled")
}

fn never_ran(why: String) -> Attempt {
    Attempt {
        failure: Some(FailureKind::ImageUnusable(why)),
        output: HookOutput::default(),
        log: Vec::new(),
        duration: Duration::ZERO,
        peak_memory_bytes: None,
    }
}
