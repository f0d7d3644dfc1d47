//! Running one attempt of a hook release over records, or of an ingester (PIP-4).

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::work::outcome::HookOutput;
use domain::{
    ConventionSlug, Digest, FailureKind, FileName, HookName, Limits, ReleaseId, RunId, SourceId, TaskId,
};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::blobs::{Blobs, ByteStream};

/// One record as a hook is given it.
#[derive(Clone, Debug, PartialEq)]
pub struct HookRecord {
    /// The id that the hook's outcome must name.
    pub id: SourceId,
    /// The metadata, verbatim.
    pub metadata: Map<String, Value>,
    /// How large its files are, in MiB, as far as known.
    pub size_hint_mb: f64,
}

/// A file of a record, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFile {
    /// The record.
    pub record: SourceId,
    /// Its name within the record.
    pub name: FileName,
    /// Where it is kept.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: [u8; 32],
}

/// The files of a unit's records in one directory, laid out as hooks find them: `<id>/<name>`, under the exact id (WC-D11).
/// The directory is removed when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct StagedFiles {
    path: PathBuf,
    _guard: Arc<dyn Any + Send + Sync>,
}

impl StagedFiles {
    /// The directory that `guard` removes when it is dropped.
    pub fn new(path: PathBuf, guard: Arc<dyn Any + Send + Sync>) -> Self {
        Self { path, _guard: guard }
    }

    /// The directory.
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
    /// What the hook is given as `config.json`; no file is written when it is empty.
    pub config: Map<String, Value>,
    /// What this attempt may use.
    pub limits: Limits,
    /// The records, in order.
    pub records: Vec<HookRecord>,
    /// The files of the unit's records, if any record has one.
    pub files: Option<StagedFiles>,
}

/// Which run of which release an output belongs to: what the runner wrote as `run.json` beside it (PRV-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunStamp {
    /// The run.
    pub run: RunId,
    /// The release.
    pub release: ReleaseId,
}

/// How an attempt ended, and what it left behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Why it did not end with success, if it did not. [`FailureKind::RejectedRun`] is never set by a runner: the
    /// use case reads it out of the output.
    pub failure: Option<FailureKind>,
    /// What the hook wrote, as far as it can be read.
    pub output: HookOutput,
    /// What `run.json` beside the output says. None if nothing was run.
    pub stamp: Option<RunStamp>,
    /// The last part of what the hook printed to standard output and standard error.
    pub log: Vec<u8>,
    /// How long the hook itself ran.
    pub duration: Duration,
    /// The most resident memory that was seen, in bytes, if the runner can see it.
    pub peak_memory_bytes: Option<u64>,
}

/// One attempt at asking an ingester for its next records (WC-5.2).
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
    /// What it is given as `config.json`; no file is written when it is empty.
    pub config: Map<String, Value>,
    /// What this attempt may use.
    pub limits: Limits,
    /// What it left as its session last time, given as `session.json`.
    pub session: Option<Map<String, Value>>,
    /// `OSA_LIMIT`: how many records it may give.
    pub limit: u64,
    /// `OSA_SINCE`: only what changed after this is asked for.
    pub since: Option<OffsetDateTime>,
    /// `OSA_OFFSET`: how many records came before; not set when it is 0.
    pub offset: u64,
}

/// A file that an ingester left.
pub struct PulledFile {
    /// Its size when it was opened.
    pub bytes: u64,
    /// Its content.
    pub content: ByteStream,
}

/// The files that an ingester left. They are gone when this is dropped.
#[async_trait]
pub trait PulledFiles: Send + Sync {
    /// The file `name` of the record `record`, read without following links. `None` if there is no plain file of that name.
    async fn open(&self, record: &SourceId, name: &FileName) -> Result<Option<PulledFile>, RunnerError>;
}

/// How an ingester's attempt ended, and what it left behind.
pub struct PullAttempt {
    /// Why it did not end with success, if it did not.
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

/// The runner itself failed; nothing is known of what it ran, and the attempt may be made again.
#[derive(Debug, thiserror::Error)]
#[error("the runner could not {what}")]
pub struct RunnerError {
    /// What it tried.
    pub what: String,
    /// Why that failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl RunnerError {
    /// The error of not being able to do `what`.
    pub fn new(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            what: what.into(),
            source: source.into(),
        }
    }
}

/// Runs hooks and ingesters.
///
/// Every implementation keeps the container contract (WC-5): the files and environment that a hook or an ingester
/// finds, a fresh work directory per attempt that is gone afterwards, an image whose digest was verified before anything of it ran,
/// nothing left running when the future ends, is dropped, or the server dies.
#[async_trait]
pub trait Runner: Send + Sync {
    /// The name of what runs this image, as provenance shows it.
    fn name(&self, image: &str) -> &'static str;

    /// Lays the files of a unit's records out where what runs this image finds them, once for all hooks and all their attempts.
    async fn stage(
        &self,
        image: &str,
        task: TaskId,
        blobs: &dyn Blobs,
        files: &[RecordFile],
    ) -> Result<StagedFiles, RunnerError>;

    /// Makes one attempt at a hook.
    async fn run(&self, job: &HookJob) -> Result<Attempt, RunnerError>;

    /// Makes one attempt at an ingester.
    async fn pull(&self, job: &PullJob) -> Result<PullAttempt, RunnerError>;

    /// Fails if it could not run anything now. `false` says that nobody looked: what a container engine does is not this server's to
    /// answer for (WC-1.8).
    async fn check(&self) -> Result<bool, RunnerError>;
}
