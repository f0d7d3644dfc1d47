//! Runners for hooks and ingesters: local processes for `file:` images, a container engine for all others.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use domain::work::outcome::HookOutput;
use domain::work::rows::{Room, Spill};
use domain::{Digest, FailureKind, FileName, SourceId, TaskId};
use ports::{
    Attempt, Blobs, HookJob, PullAttempt, PullJob, PulledFile, PulledFiles, RecordFile, Runner, RunnerError,
    StagedFiles,
};
use runner_docker::{DockerRunner, DockerRunnerOptions};
use runner_process::{IngesterNetwork, ProcessRunner, ProcessRunnerOptions, SupervisorProgram, UseSandbox};

use crate::config::{Backend, Config, LocalNetwork, Sandbox};
use crate::home::Home;

/// The runners of this server; at least one if it executes anything.
pub(crate) struct Runners {
    process: Option<ProcessRunner>,
    docker: Option<DockerRunner>,
}

impl Runners {
    /// Returns no runners, for a server that only writes its document.
    pub(crate) const fn none() -> Self {
        Self {
            process: None,
            docker: None,
        }
    }

    /// Opens the configured runners and removes what a killed predecessor left behind. The data directory is locked, so
    /// the owner of such leftovers no longer runs.
    pub(crate) async fn open(config: &Config, home: &Home) -> anyhow::Result<Self> {
        let docker = match config.backend {
            Backend::Process => None,
            Backend::Oci => Some(docker(config, home).await.context("runner.backend is oci")?),
            Backend::Auto => match docker(config, home).await {
                Ok(docker) => Some(docker),
                Err(error) => {
                    tracing::info!(
                        reason = format!("{error:#}"),
                        "no container engine: only file: images can run"
                    );
                    None
                }
            },
        };
        let process = match config.backend {
            Backend::Oci => None,
            Backend::Process | Backend::Auto => Some(process(config, home)?),
        };
        Ok(Self { process, docker })
    }

    /// Returns the kinds of runners and how isolated hooks are, without details of the machine. The log has those.
    pub(crate) fn describe(&self) -> String {
        let process = self.process.as_ref().map(ProcessRunner::summary);
        let docker = self.docker.as_ref().map(|_| "containers".to_owned());
        let all: Vec<String> = process.into_iter().chain(docker).collect();
        all.join(" and ")
    }

    fn of(&self, image: &str) -> Option<&dyn Runner> {
        if image.starts_with("file:") {
            self.process.as_ref().map(|runner| runner as &dyn Runner)
        } else {
            self.docker.as_ref().map(|runner| runner as &dyn Runner)
        }
    }
}

/// Describes why an image has no runner here.
fn nothing_runs(image: &str) -> FailureKind {
    let kind = if image.starts_with("file:") {
        "local processes (runner.backend is oci)"
    } else {
        "containers (no container engine responded at startup, or runner.backend is process)"
    };
    FailureKind::ImageUnusable(format!("this server does not run {kind}"))
}

impl Room for Runners {
    fn spill(&self) -> io::Result<Arc<dyn Spill>> {
        match (&self.process, &self.docker) {
            (Some(process), _) => process.spill(),
            (None, Some(docker)) => docker.spill(),
            (None, None) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

#[async_trait]
impl Runner for Runners {
    fn name(&self, image: &str) -> &'static str {
        self.of(image).map_or("none", |runner| runner.name(image))
    }

    fn ingester_name(&self, image: &str) -> &'static str {
        self.of(image)
            .map_or("none", |runner| runner.ingester_name(image))
    }

    async fn stage(
        &self,
        image: &str,
        task: TaskId,
        blobs: &dyn Blobs,
        files: &[RecordFile],
    ) -> Result<StagedFiles, RunnerError> {
        match self.of(image) {
            Some(runner) => runner.stage(image, task, blobs, files).await,
            // Running the image reports the failure; until then there is nothing to prepare.
            None => Ok(StagedFiles::new(PathBuf::new(), Arc::new(()))),
        }
    }

    async fn check(&self) -> Result<bool, RunnerError> {
        match &self.process {
            Some(process) => process.check().await,
            None => Ok(false),
        }
    }

    async fn examine(&self, image: &str, digest: &Digest) -> Result<Option<String>, RunnerError> {
        match self.of(image) {
            Some(runner) => runner.examine(image, digest).await,
            // Another server may run it.
            None => Ok(None),
        }
    }

    async fn run(&self, job: &HookJob) -> Result<Attempt, RunnerError> {
        match self.of(&job.image) {
            Some(runner) => runner.run(job).await,
            None => Ok(Attempt {
                failure: Some(nothing_runs(&job.image)),
                output: HookOutput::default(),
                stamp: None,
                log: Vec::new(),
                duration: Duration::ZERO,
                peak_memory_bytes: None,
            }),
        }
    }

    async fn pull(&self, job: &PullJob) -> Result<PullAttempt, RunnerError> {
        match self.of(&job.image) {
            Some(runner) => runner.pull(job).await,
            None => Ok(PullAttempt {
                failure: Some(nothing_runs(&job.image)),
                records: Vec::new(),
                session: None,
                files: Box::new(NoFiles),
                log: Vec::new(),
                duration: Duration::ZERO,
            }),
        }
    }
}

/// The empty output of a pull that did not happen.
struct NoFiles;

#[async_trait]
impl PulledFiles for NoFiles {
    async fn open(&self, _record: &SourceId, _name: &FileName) -> Result<Option<PulledFile>, RunnerError> {
        Ok(None)
    }
}

fn process(config: &Config, home: &Home) -> anyhow::Result<ProcessRunner> {
    let image_dirs = match &config.runner.image_dirs {
        Some(dirs) => Some(dirs.clone()),
        None if config.dev_mode => None,
        None => {
            let images = home.join("images");
            std::fs::create_dir_all(&images)
                .with_context(|| format!("cannot create the directory of images {}", images.display()))?;
            Some(vec![images])
        }
    };
    let mut hidden = config.secret_files();
    hidden.push(home.path().to_owned());
    let options = ProcessRunnerOptions {
        hidden,
        image_dirs,
        uids: config.runner.uids,
        sandbox: match config.sandbox() {
            Sandbox::Auto => UseSandbox::Auto,
            Sandbox::Required => UseSandbox::Required,
            Sandbox::None => UseSandbox::None,
        },
        ingester_network: match config.runner.local_ingester_network {
            LocalNetwork::Auto => IngesterNetwork::Auto,
            LocalNetwork::Isolated => IngesterNetwork::Isolated,
            LocalNetwork::Host => IngesterNetwork::Host,
        },
        most_output_bytes: config.bounds.output_bytes,
        supervisor: Some(SupervisorProgram {
            path: "/proc/self/exe".into(),
            arguments: vec!["supervise-hook".into()],
        }),
        ..ProcessRunnerOptions::new(home.join("work"))
    };
    let runner = ProcessRunner::new(options).context("cannot use the process runner")?;
    let stale = runner
        .clean_stale()
        .context("cannot remove left-over work directories")?;
    if runner.is_sandboxed() {
        tracing::info!(stale, "{}", runner.describe());
    } else {
        tracing::warn!(stale, "{}", runner.describe());
    }
    Ok(runner)
}

async fn docker(config: &Config, home: &Home) -> anyhow::Result<DockerRunner> {
    let options = DockerRunnerOptions {
        // If the engine sees the data directory at another path, it sees this directory below that path.
        host_work_root: config.host_data_dir.as_ref().map(|dir| dir.join("containers")),
        ingester_network: config.ingester_network.clone(),
        most_output_bytes: config.bounds.output_bytes,
        ..DockerRunnerOptions::new(home.join("containers"), home.worker.clone())
    };
    let runner = DockerRunner::new(options)
        .await
        .context("cannot use the container engine")?;
    let cleaned = runner
        .clean_stale()
        .await
        .context("cannot remove left-over containers")?;
    tracing::info!(
        containers = cleaned.containers,
        directories = cleaned.directories,
        left = cleaned.left.len(),
        "{}",
        runner.describe()
    );
    Ok(runner)
}
