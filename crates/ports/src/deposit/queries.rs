//! Reads of depositions.

use async_trait::async_trait;
use domain::{
    ConventionSlug, DepositionId, DepositionStatus, FileName, HookName, RecordSrn, ReleaseVersion, RunId,
    SubmissionStatus, TaskId, UserId,
};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::error::StoreError;

/// A file of a deposition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepositionFile {
    /// Its name.
    pub name: FileName,
    /// Its key in the blob store.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: [u8; 32],
    /// When it was uploaded.
    pub uploaded_at: OffsetDateTime,
}

/// A deposition as it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct DepositionView {
    /// Its id.
    pub id: DepositionId,
    /// The convention.
    pub convention: ConventionSlug,
    /// Its owner.
    pub owner: UserId,
    /// Its state.
    pub status: DepositionStatus,
    /// Its metadata.
    pub metadata: Map<String, Value>,
    /// How many files it has.
    pub file_count: u64,
    /// The record that it was published as.
    pub record: Option<RecordSrn>,
    /// Its newest submission: id, state, and the reasons why it did not pass.
    pub submission: Option<(TaskId, SubmissionStatus, Vec<String>)>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it last changed.
    pub updated_at: OffsetDateTime,
}

/// One hook of a validation run.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidationResult {
    /// The hook.
    pub hook: HookName,
    /// Its run.
    pub run: RunId,
    /// The version of the release that ran.
    pub version: ReleaseVersion,
    /// `passed`, `rejected` or `errored`.
    pub outcome: String,
    /// Why, if it did not pass.
    pub reason: Option<String>,
    /// How long it ran, in seconds.
    pub duration_s: f64,
    /// How often it was run again with more memory.
    pub oom_retries: u32,
}

/// A validation run: the run of the hooks over a submission.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidationView {
    /// Its id, which is that of its task.
    pub id: TaskId,
    /// The deposition.
    pub deposition: DepositionId,
    /// Its owner.
    pub owner: UserId,
    /// Its state.
    pub status: SubmissionStatus,
    /// Why it did not pass.
    pub reasons: Vec<String>,
    /// The result of each hook.
    pub results: Vec<ValidationResult>,
    /// When it was submitted.
    pub submitted_at: OffsetDateTime,
    /// When it ended.
    pub completed_at: Option<OffsetDateTime>,
}

/// Reads of depositions.
#[async_trait]
pub trait DepositionQueries: Send + Sync {
    /// Returns one deposition.
    async fn deposition(&self, id: &DepositionId) -> Result<Option<DepositionView>, StoreError>;
    /// Returns the newest depositions, at most `most`, and the total number. Only those of `owner` if one is named.
    async fn depositions(
        &self,
        owner: Option<UserId>,
        most: u32,
    ) -> Result<(Vec<DepositionView>, u64), StoreError>;
    /// Returns the files of a deposition, by name.
    async fn deposition_files(&self, id: &DepositionId) -> Result<Vec<DepositionFile>, StoreError>;
    /// Returns a validation run.
    async fn validation(&self, id: TaskId) -> Result<Option<ValidationView>, StoreError>;
}
