//! The runner itself: one thread per attempt.

use std::io::{self, PipeReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use domain::work::rows::{Room, Spill};
use domain::{Digest, TaskId};
use futures::channel::oneshot;
use ports::{Attempt, Blobs, HookJob, PullAttempt, PullJob, RecordFile, Runner, RunnerError, StagedFiles};
use runner_workdir::{check_root, prepare_root, remove_all, spill, stage};

use crate::attempt::Inner;
use crate::cgroup::Cgroups;
use crate::image::examine;
use crate::launch::{Isolation, Launcher};
use crate::network::Network;
use crate::options::ProcessRunnerOptions;
use crate::uids::Uids;
use crate::watch::is_cancelled;

/// Runs hooks as local processes; the crate's description lists what it enforces and what it does not.
#[derive(Clone, Debug)]
pub struct ProcessRunner {
    inner: Arc<Inner>,
}

impl ProcessRunner {
    /// Creates a runner with these options. Creates the work root, and tries out the sandboxes that may be used, and the
    /// helpers of ingesters' networks, each with a small program.
    ///
    /// Fails if the work root cannot be created, the server is root and hooks could not reach it or have no uids, or
    /// the supervisor is not a program. A machine where no sandbox works is no failure: hooks are refused then, and
    /// [`ProcessRunner::describe`] says why.
    pub fn new(options: ProcessRunnerOptions) -> Result<Self, RunnerError> {
        let failed = |e: io::Error| {
            RunnerError::new(
                format!("use {} for work directories", options.work_root.display()),
                e,
            )
        };
        let is_root = rustix::process::geteuid().is_root();
        let root = prepare_root(&options.work_root, is_root).map_err(failed)?;
        if let Some(supervisor) = options
            .supervisor
            .as_ref()
            .filter(|s| !s.path.is_absolute() || !s.path.is_file())
        {
            let why = format!("{} is not an absolute program path", supervisor.path.display());
            return Err(RunnerError::new("use the supervisor", why));
        }
        let uids = is_root
            .then(|| Uids::open(options.uids))
            .transpose()
            .map_err(|e| RunnerError::new("give hooks users of their own", e))?;
        let options = ProcessRunnerOptions {
            work_root: root,
            ..options
        };
        // A control group needs the supervisor, which waits until it is in it.
        let cgroups = options.supervisor.as_ref().and_then(Cgroups::open);
        let mut inner = Inner {
            launcher: Launcher::new(Isolation::None, &options),
            options,
            uids,
            cgroups,
            checking: AtomicBool::new(false),
        };
        inner.choose();
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Returns how isolated hooks are on this machine: one sentence, for the server's log at start.
    pub fn describe(&self) -> String {
        let inner = &self.inner;
        let user = match &inner.uids {
            Some(_) => "each attempt as a uid of its own",
            None => "as the server's own user",
        };
        let sandboxed = |kind: &str| {
            format!(
                "hooks run as local processes {user} in {kind}: no network, no other processes, a read-only system without the server's files, write access only to their own directories; {}; {}",
                inner.launcher.network.describe(),
                inner.limits()
            )
        };
        match &inner.launcher.isolation {
            Isolation::Bwrap { program, .. } => sandboxed(&format!("bubblewrap ({})", program.display())),
            Isolation::Landlock => sandboxed("namespaces with Landlock and seccomp"),
            Isolation::None => format!(
                "hooks run as local processes {user} with NO SANDBOX: they have the network and can read everything that user can; {}; {}, and {}; install bubblewrap to isolate them",
                inner.launcher.network.describe(),
                inner.limits(),
                if inner.launcher.has_supervisor() {
                    "a supervisor ends them with the server"
                } else {
                    "what a hook started may continue to run if the server is killed"
                }
            ),
            Isolation::Refused(why) => format!("hooks are REFUSED as local processes: {why}"),
        }
    }

    /// Returns the same in a few words, without details of the machine.
    pub fn summary(&self) -> String {
        let kind = match self.inner.launcher.isolation {
            Isolation::Bwrap { .. } => "local processes in bubblewrap",
            Isolation::Landlock => "local processes in namespaces with Landlock and seccomp",
            Isolation::None => "local processes WITHOUT A SANDBOX",
            Isolation::Refused(_) => {
                return "local processes refused, because no sandbox works on this machine".to_owned();
            }
        };
        format!("{kind} ({})", self.inner.launcher.network.summary())
    }

    /// Returns whether hooks run in a sandbox.
    pub fn is_sandboxed(&self) -> bool {
        self.inner.launcher.is_sandbox()
    }

    /// Returns whether hooks are refused.
    pub fn is_refusing(&self) -> bool {
        matches!(self.inner.launcher.isolation, Isolation::Refused(_))
    }

    /// Removes the work directories that a killed predecessor left, and returns how many. Call it at start-up, before
    /// the first run, and only from the one server that uses the work root: it cannot distinguish a stale directory
    /// from one in use.
    pub fn clean_stale(&self) -> Result<usize, RunnerError> {
        remove_all(&self.inner.options.work_root)
            .map_err(|e| RunnerError::new("remove stale work directories", e))
    }
}

impl Room for ProcessRunner {
    fn spill(&self) -> io::Result<Arc<dyn Spill>> {
        spill(&self.inner.options.work_root)
    }
}

#[async_trait]
impl Runner for ProcessRunner {
    fn name(&self, _image: &str) -> &'static str {
        match self.inner.launcher.isolation {
            Isolation::Bwrap { .. } => "process+bubblewrap",
            Isolation::Landlock => "process+landlock",
            Isolation::None => "process+no-sandbox",
            Isolation::Refused(_) => "process+refused",
        }
    }

    fn ingester_name(&self, image: &str) -> &'static str {
        let launcher = &self.inner.launcher;
        match (&launcher.isolation, &launcher.network) {
            (Isolation::Bwrap { .. }, Network::Own(_)) => "process+bubblewrap+own-network",
            (Isolation::Bwrap { .. }, Network::Host(_)) => "process+bubblewrap+host-network",
            (Isolation::Landlock, Network::Own(_)) => "process+landlock+own-network",
            (Isolation::Landlock, Network::Host(_)) => "process+landlock+host-network",
            (_, Network::Refused(_)) => "process+refused",
            (Isolation::None | Isolation::Refused(_), _) => self.name(image),
        }
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
            if let Isolation::Refused(why) = &inner.launcher.isolation {
                return Ok(Some(why.clone()));
            }
            let sees = |path: &Path| inner.launcher.shows(path);
            Ok(examine(&image, &digest, inner.policy(&sees), &|| is_cancelled(cancel)).err())
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
