//! The runner itself: one task per attempt, from the work directory to the read output.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use domain::work::rows::{Room, Spill};
use domain::{Digest, FailureKind, Limits, TaskId};
use ports::{Attempt, Blobs, HookJob, PullAttempt, PullJob, RecordFile, Runner, RunnerError, StagedFiles};
use runner_workdir::{Done, Owner, WorkDir, cancelled, prepare_root, read_pull, spill, stage, sweep};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::container::Container;
use crate::engine::Engine;
use crate::image::{Image, resolve};
use crate::options::DockerRunnerOptions;
use crate::sandbox::{Places, Role, Sandbox};
use crate::trouble::Trouble;
use crate::work::{Work, blocking};

/// Runs hooks and ingesters as containers; the crate's description lists what it enforces and what it does not.
#[derive(Clone, Debug)]
pub struct DockerRunner {
    inner: Arc<Inner>,
}

/// What a killed server had left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// How many containers were removed.
    pub containers: usize,
    /// How many work directories were removed.
    pub directories: usize,
    /// The work directories that could not be removed: they contain another user's files, and the server is not root.
    pub left: Vec<PathBuf>,
}

#[derive(Debug)]
struct Inner {
    options: DockerRunnerOptions,
    engine: Engine,
}

impl DockerRunner {
    /// Creates a runner with these options. Creates the work root and connects to the engine.
    ///
    /// Fails if there is no owner, the work root cannot be created, or no engine responds; the error contains a
    /// remedy.
    pub async fn new(options: DockerRunnerOptions) -> Result<Self, RunnerError> {
        if options.owner.is_empty() {
            let why = "without a name for the owner of its containers, none would be removed";
            return Err(RunnerError::new("run containers", why));
        }
        let what = format!("use {} for work directories", options.work_root.display());
        let root = options.work_root.clone();
        // Closed to all others: the engine binds its content as root, or as the server's own user.
        let root = blocking("make the work root", move || prepare_root(&root, false)).await?;
        let work_root = root.map_err(|e| RunnerError::new(what, e))?;
        let options = DockerRunnerOptions { work_root, ..options };
        let engine = Engine::connect(&options).await?;
        let inner = Arc::new(Inner { options, engine });
        Ok(Self { inner })
    }

    /// Returns how isolated hooks are on this machine: one sentence, for the server's log at start.
    pub fn describe(&self) -> String {
        format!(
            "hooks run in containers of {} as uid 65534: no network, no capabilities, a read-only system, only their own directories to write to; the engine holds memory, processor time and processes; ingesters have the network {:?}",
            self.inner.engine.describe(),
            self.inner.options.ingester_network
        )
    }

    /// Removes the containers and the work directories that a killed predecessor left, and returns how many. Call it at
    /// start-up, before the first run, and only from the one server that uses the work root and the owner's name: it
    /// cannot distinguish what is stale from what is in use.
    pub async fn clean_stale(&self) -> Result<Cleaned, RunnerError> {
        let Inner { options, engine } = &*self.inner;
        let stale = engine.of_owner(&options.owner).await?;
        for id in &stale {
            engine.remove(id).await?;
        }
        let what = "remove stale work directories";
        let root = options.work_root.clone();
        let swept = blocking(what, move || sweep(&root)).await?;
        let swept = swept.map_err(|e| RunnerError::new(what, e))?;
        Ok(Cleaned {
            containers: stale.len(),
            directories: swept.removed,
            left: swept.left,
        })
    }
}

impl Room for DockerRunner {
    fn spill(&self) -> io::Result<Arc<dyn Spill>> {
        spill(&self.inner.options.work_root)
    }
}

#[async_trait]
impl Runner for DockerRunner {
    fn name(&self, _image: &str) -> &'static str {
        self.inner.engine.product()
    }

    fn ingester_name(&self, image: &str) -> &'static str {
        self.name(image)
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

    async fn examine(&self, _image: &str, _digest: &Digest) -> Result<Option<String>, RunnerError> {
        // Any text may be the name of an image whose id is the digest. It may be pushed after its release.
        Ok(None)
    }

    async fn run(&self, job: &HookJob) -> Result<Attempt, RunnerError> {
        let (inner, job) = (Arc::clone(&self.inner), job.clone());
        detached(|cancel| async move { inner.attempt(job, &cancel).await }).await
    }

    async fn pull(&self, job: &PullJob) -> Result<PullAttempt, RunnerError> {
        let (inner, job) = (Arc::clone(&self.inner), job.clone());
        detached(|cancel| async move { inner.pull(job, &cancel).await }).await
    }

    async fn check(&self) -> Result<bool, RunnerError> {
        Ok(false)
    }
}

/// Runs an attempt as its own task, and cancels it when the caller no longer waits: the task outlives a dropped future
/// for as long as it takes to remove the container.
async fn detached<T, F>(attempt: impl FnOnce(CancellationToken) -> F) -> Result<T, RunnerError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, RunnerError>> + Send + 'static,
{
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    tokio::spawn(attempt(cancel))
        .await
        .map_err(|e| RunnerError::new("finish the attempt", e))?
}

/// The program to run in a work directory.
struct What<'a> {
    role: Role<'a>,
    image: &'a str,
    digest: &'a Digest,
    limits: Limits,
    unit: String,
    /// The directory that is bound as `/osa/files`.
    files: PathBuf,
    /// The environment besides the paths.
    environment: Vec<(&'static str, String)>,
}

impl Inner {
    async fn attempt(&self, job: HookJob, cancel: &CancellationToken) -> Result<Attempt, RunnerError> {
        let job = Arc::new(job);
        let (root, same) = (self.options.work_root.clone(), Arc::clone(&job));
        let work = Work::make(move || WorkDir::for_hook(&root, &same, Owner::AnyUser)).await?;
        let what = What {
            role: Role::Hook,
            image: &job.image,
            digest: &job.digest,
            limits: job.limits,
            unit: job.run.to_string(),
            files: match &job.files {
                Some(staged) => staged.path().to_owned(),
                None => work.path().join("files"),
            },
            environment: WorkDir::hook_environment(&job),
        };
        let (work, done) = self.execute(work, &what, cancel).await?;
        let caps = self.options.caps();
        // No owner is checked: with user namespaces, uid 65534 of a container is another uid of the machine. A file
        // that the hook did not make cannot be there: hard links do not cross mounts, and no other process reaches the
        // directory.
        let (work, attempt) = work
            .read(move |dir| done.into_attempt(dir, &job, caps, None))
            .await?;
        work.remove().await;
        Ok(attempt)
    }

    async fn pull(&self, job: PullJob, cancel: &CancellationToken) -> Result<PullAttempt, RunnerError> {
        let job = Arc::new(job);
        let (root, same) = (self.options.work_root.clone(), Arc::clone(&job));
        let work = Work::make(move || WorkDir::for_pull(&root, &same, Owner::AnyUser)).await?;
        let what = What {
            role: Role::Ingester(&self.options.ingester_network),
            image: &job.image,
            digest: &job.digest,
            limits: job.limits,
            unit: job.task.to_string(),
            files: work.path().join("files"),
            environment: WorkDir::pull_environment(&job),
        };
        let (work, done) = self.execute(work, &what, cancel).await?;
        let caps = self.options.caps();
        let (work, pulled) = work.read(move |dir| read_pull(dir, caps)).await?;
        Ok(done.into_pull(pulled, Box::new(work)))
    }

    /// Runs a program in its work directory to its end. Its container is gone when this returns the work directory.
    async fn execute(
        &self,
        work: Work,
        what: &What<'_>,
        cancel: &CancellationToken,
    ) -> Result<(Work, Done), RunnerError> {
        let deadline = Instant::now() + what.limits.timeout();
        let resolved = resolve(&self.engine, what.image, what.digest, self.options.pull_timeout);
        let resolved = tokio::select! {
            () = cancel.cancelled() => return Err(cancelled()),
            resolved = timeout_at(deadline, resolved) => resolved,
        };
        let image = match resolved {
            Ok(Ok(image)) => image,
            Ok(Err(Trouble::Failure(kind))) => return Ok((work, Done::never_ran(kind))),
            Ok(Err(Trouble::Runner(error))) => return Err(error),
            Err(_) => {
                let kind = FailureKind::Timeout(u64::from(what.limits.timeout_seconds));
                return Ok((work, Done::never_ran(kind)));
            }
        };
        let name = format!("hallmark-{}", Uuid::new_v4().simple());
        let done = self
            .in_container(&name, &image, work.path(), what, deadline, cancel)
            .await;
        let removed = self.engine.remove(&name).await;
        let done = match (done, removed) {
            (Ok(done), Ok(())) => done,
            // A runner that may not create a container may not remove one; there is none.
            (Err(Trouble::Failure(kind)), Ok(()))
            | (Err(Trouble::Failure(kind @ FailureKind::Forbidden(_))), Err(_)) => Done::never_ran(kind),
            (Err(Trouble::Runner(error)), Ok(())) => {
                work.remove().await;
                return Err(error);
            }
            (_, Err(error)) => {
                // It may continue to write, so the directory stays for as long as the container does.
                let engine = self.engine.clone();
                tokio::spawn(async move {
                    engine.remove_in_time(&name).await;
                    work.remove().await;
                });
                return Err(error);
            }
        };
        Ok((work, done))
    }

    /// Creates the container and runs it to its end. The caller removes it, even if this fails.
    async fn in_container(
        &self,
        name: &str,
        image: &Image,
        work: &Path,
        what: &What<'_>,
        deadline: Instant,
        cancel: &CancellationToken,
    ) -> Result<Done, Trouble> {
        let (input, out) = (
            self.host_path(&work.join("in"))?,
            self.host_path(&work.join("out"))?,
        );
        let files = self.host_path(&what.files)?;
        let sandbox = Sandbox {
            role: what.role,
            image,
            limits: what.limits,
            places: Places {
                input: &input,
                out: &out,
                files: &files,
            },
            environment: &what.environment,
            owner: &self.options.owner,
            unit: what.unit.clone(),
            most_log_bytes: self.options.most_log_bytes,
            // More than the limit of the disk, so that it shows that this was exceeded.
            most_file_bytes: self.options.most_disk_bytes.saturating_add(1 << 20),
        };
        self.engine.create(name, sandbox.body()).await?;
        let container = Container {
            engine: &self.engine,
            name,
            options: &self.options,
            limits: what.limits,
            deadline,
            work,
            role: what.role,
            cancel,
        };
        let ended = container.run(image).await?;
        Ok(Done {
            failure: ended.failure,
            log: ended.log,
            duration: ended.duration,
            peak_memory_bytes: None,
            ran: true,
        })
    }

    /// Returns the path at which the engine sees a directory of the server.
    fn host_path(&self, path: &Path) -> Result<PathBuf, RunnerError> {
        let Some(host_root) = &self.options.host_work_root else {
            return Ok(path.to_owned());
        };
        let below = path.strip_prefix(&self.options.work_root).map_err(|e| {
            RunnerError::new(
                format!("say where the container engine sees {}", path.display()),
                e,
            )
        })?;
        Ok(host_root.join(below))
    }
}
