//! Running one attempt of a hook release over records, or of an ingester (PIP-4).

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::work::outcome::HookOutput;
use domain::work::rows::Room;
use domain::{
    ConventionSlug, Digest, FailureKind, FileName, HookName, Limits, ReleaseId, RunId, SourceId, TaskId,
};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::blobs::{Blobs, ByteStream};

/// One record as the hook receives it.
#[derive(Clone, Debug, PartialEq)]
pub struct HookRecord {
    /// The id that the hook's outcome must name.
    pub id: SourceId,
    /// The metadata, verbatim.
    pub metadata: Map<String, Value>,
    /// The size of its files in MiB, as far as known.
    pub size_hint_mb: f64,
}

/// A stored file of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFile {
    /// The record.
    pub record: SourceId,
    /// Its name within the record.
    pub name: FileName,
    /// Its key in the blob store.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: [u8; 32],
}

/// The files of a unit's records in one directory, laid out as hooks expect them: `<id>/<name>`, under the exact id
/// (WC-D11). The directory is removed when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct StagedFiles {
    path: PathBuf,
    _guard: Arc<dyn Any + Send + Sync>,
}

impl StagedFiles {
    /// Wraps the directory that `guard` removes when it is dropped.
    pub fn new(path: PathBuf, guard: Arc<dyn Any + Send + Sync>) -> Self {
        Self { path, _guard: guard }
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// One attempt at running a hook.
#[derive(Clone, Debug)]
pub struct HookJob {
    /// The run that this attempt belongs to; several attempts of one run share it.
    pub run: RunId,
    /// The hook.
    pub hook: HookName,
    /// The pinned release.
    pub release: ReleaseId,
    /// Where its image is.
    pub image: String,
    /// What its image's bytes must hash to (PIP-5).
    pub digest: Digest,
    /// The hook's `config.json`; no file is written if it is empty.
    pub config: Map<String, Value>,
    /// The resource limits of this attempt.
    pub limits: Limits,
    /// The records, in order.
    pub records: Vec<HookRecord>,
    /// The files of the unit's records, if any record has one.
    pub files: Option<StagedFiles>,
}

/// The run and release of an output: what the runner wrote as `run.json` beside it (PRV-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunStamp {
    /// The run.
    pub run: RunId,
    /// The release.
    pub release: ReleaseId,
}

/// The result of an attempt and its output.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Why it failed, if it did. A runner never sets [`FailureKind::RejectedRun`]: the use case reads it from the
    /// output.
    pub failure: Option<FailureKind>,
    /// What the hook wrote, as far as it can be read. It may be in files still.
    pub output: HookOutput,
    /// The content of `run.json` beside the output. `None` if nothing ran.
    pub stamp: Option<RunStamp>,
    /// The last part of what the hook printed to standard output and standard error.
    pub log: Vec<u8>,
    /// How long the hook itself ran.
    pub duration: Duration,
    /// The highest resident memory observed, in bytes, if the runner can observe it.
    pub peak_memory_bytes: Option<u64>,
}

/// One attempt at pulling the next records from an ingester (WC-5.2).
#[derive(Clone, Debug)]
pub struct PullJob {
    /// The unit of work; several attempts at it share it.
    pub task: TaskId,
    /// The convention whose ingester it is.
    pub convention: ConventionSlug,
    /// Where its image is.
    pub image: String,
    /// What its image's bytes must hash to (PIP-5).
    pub digest: Digest,
    /// Its `config.json`; no file is written if it is empty.
    pub config: Map<String, Value>,
    /// The resource limits of this attempt.
    pub limits: Limits,
    /// The session that it left last time, passed as `session.json`.
    pub session: Option<Map<String, Value>>,
    /// `OSA_LIMIT`: the maximum number of records.
    pub limit: u64,
    /// `OSA_SINCE`: only records that changed after this.
    pub since: Option<OffsetDateTime>,
    /// `OSA_OFFSET`: how many records came before; not set if it is 0.
    pub offset: u64,
}

/// A file that an ingester left.
pub struct PulledFile {
    /// Its size when it was opened.
    pub bytes: u64,
    /// Its content.
    pub content: ByteStream,
}

/// The files that an ingester left. They are removed when this is dropped.
#[async_trait]
pub trait PulledFiles: Send + Sync {
    /// Opens the file `name` of the record `record` without following links. `None` if there is no regular file of
    /// that name.
    async fn open(&self, record: &SourceId, name: &FileName) -> Result<Option<PulledFile>, RunnerError>;
}

/// The result of an ingester's attempt and its output.
pub struct PullAttempt {
    /// Why it failed, if it did.
    pub failure: Option<FailureKind>,
    /// `records.jsonl`, as far as it can be read.
    pub records: Vec<u8>,
    /// `session.json`, if there is one: more is to come.
    pub session: Option<Vec<u8>>,
    /// The files of its records.
    pub files: Box<dyn PulledFiles>,
    /// The last part of what it printed.
    pub log: Vec<u8>,
    /// How long it ran.
    pub duration: Duration,
}

/// The runner itself failed. Nothing is known about what it ran, and the attempt may be retried.
#[derive(Debug, thiserror::Error)]
#[error("the runner could not {what}")]
pub struct RunnerError {
    /// The operation that failed.
    pub what: String,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl RunnerError {
    /// Creates the error of an operation `what` that failed.
    pub fn new(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            what: what.into(),
            source: source.into(),
        }
    }
}

/// Runs hooks and ingesters.
///
/// Every implementation keeps the container contract (WC-5): it provides the files and environment of a hook or an
/// ingester and a fresh work directory per attempt that is removed afterwards; it verifies the image's digest before
/// anything of the image runs; it leaves nothing running when the future ends, is dropped, or the server dies. What it
/// returns of an output stays readable after the work directory is gone. It has [`Room`] on the disk of the work
/// directories.
#[async_trait]
pub trait Runner: Room + Send + Sync {
    /// Returns the name of the runner of this hook's image, as provenance shows it.
    fn name(&self, image: &str) -> &'static str;

    /// Returns the name of the runner of this ingester's image, as the activity log shows it: ingesters have a network,
    /// and so are isolated in another way than hooks.
    fn ingester_name(&self, image: &str) -> &'static str;

    /// Lays out the files of a unit's records where the runner of this image finds them, once for all hooks and all
    /// their attempts.
    async fn stage(
        &self,
        image: &str,
        task: TaskId,
        blobs: &dyn Blobs,
        files: &[RecordFile],
    ) -> Result<StagedFiles, RunnerError>;

    /// Returns why the runner of this image could not run it, as far as can be seen without running it or asking a
    /// registry. `None` also where that cannot be seen, such as where no runner of this server is for such images. It
    /// may read the whole image.
    async fn examine(&self, image: &str, digest: &Digest) -> Result<Option<String>, RunnerError>;

    /// Makes one attempt at a hook.
    async fn run(&self, job: &HookJob) -> Result<Attempt, RunnerError>;

    /// Makes one attempt at an ingester.
    async fn pull(&self, job: &PullJob) -> Result<PullAttempt, RunnerError>;

    /// Fails if it could not run anything now. `false` means not checked: a server does not answer for its container
    /// engine (WC-1.8).
    async fn check(&self) -> Result<bool, RunnerError>;
}
