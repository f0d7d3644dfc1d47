//! Running one attempt of one hook release over records (PIP-4).

use std::time::Duration;

use async_trait::async_trait;
use domain::outcome::HookOutput;
use domain::{Digest, FailureKind, HookName, Limits, ReleaseId, RunId, SourceId};
use serde_json::{Map, Value};

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
}

/// How an attempt ended, and what it left behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Why it did not end with success, if it did not. [`FailureKind::RejectedRun`] is never set by a runner: the
    /// use case reads it out of the output.
    pub failure: Option<FailureKind>,
    /// What the hook wrote, as far as it can be read.
    pub output: HookOutput,
    /// The last part of what the hook printed to standard output and standard error.
    pub log: Vec<u8>,
    /// How long the hook itself ran.
    pub duration: Duration,
    /// The most resident memory that was seen, in bytes, if the runner can see it.
    pub peak_memory_bytes: Option<u64>,
}

/// The runner itself failed; nothing is known of the hook, and the attempt may be made again.
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

/// Runs hooks.
///
/// Every implementation keeps the container contract (wire contract 5.1): the files and environment that a hook
/// finds, a fresh work directory per attempt that is gone afterwards, an image whose digest was verified before anything of it ran,
/// nothing left running when the future ends, is dropped, or the server dies.
#[async_trait]
pub trait HookRunner: Send + Sync {
    /// The runner's name, as provenance shows it.
    fn name(&self) -> &'static str;

    /// Makes one attempt.
    async fn run(&self, job: &HookJob) -> Result<Attempt, RunnerError>;
}
