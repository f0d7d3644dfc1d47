//! Depositions, their files, and their submissions.

use async_trait::async_trait;
use domain::{
    ConventionSlug, DepositionId, DepositionStatus, FileName, HookName, RecordSrn, RunId, SchemaRef,
    SubmissionStatus, TaskId, UserId,
};
use serde_json::{Map, Value};

use crate::deposit::DepositionFile;
use crate::error::StoreError;

/// A deposition whose row is locked.
#[derive(Clone, Debug, PartialEq)]
pub struct LockedDeposition {
    /// The convention.
    pub convention: ConventionSlug,
    /// Its owner.
    pub owner: UserId,
    /// Its state.
    pub status: DepositionStatus,
    /// Its metadata.
    pub metadata: Map<String, Value>,
    /// How often it was submitted.
    pub submissions: u64,
}

/// A submission, as it was frozen.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// Its task, which is also its id as a validation run.
    pub task: TaskId,
    /// The deposition.
    pub deposition: DepositionId,
    /// Which submission of it, from 1.
    pub number: u64,
    /// The metadata that is validated.
    pub metadata: Map<String, Value>,
    /// The schema version that it was checked against.
    pub schema: SchemaRef,
    /// Its state.
    pub status: SubmissionStatus,
}

/// The result of a hook for a submission.
#[derive(Clone, Debug, PartialEq)]
pub struct SubmissionResult {
    /// The hook.
    pub hook: HookName,
    /// Its run.
    pub run: RunId,
    /// `passed`, `rejected` or `errored`.
    pub outcome: &'static str,
    /// Why, if it did not pass.
    pub reason: Option<String>,
    /// The blob-store key of the rows that it computed, if it passed.
    pub key: Option<String>,
}

/// Depositions, in a unit of work.
#[async_trait]
pub trait Depositions: Send {
    /// Returns the SRN of a deposition at this node.
    fn srn(&self, id: &DepositionId) -> String;
    /// Inserts a new draft.
    async fn create(
        &mut self,
        id: &DepositionId,
        convention: &ConventionSlug,
        owner: UserId,
    ) -> Result<(), StoreError>;
    /// Returns how many drafts this user has, counting no further than `most`.
    async fn drafts(&mut self, owner: UserId, most: u32) -> Result<u32, StoreError>;
    /// Locks a deposition until the end of the unit of work.
    async fn lock(&mut self, id: &DepositionId) -> Result<Option<LockedDeposition>, StoreError>;
    /// Replaces the metadata of a locked deposition.
    async fn set_metadata(
        &mut self,
        id: &DepositionId,
        metadata: &Map<String, Value>,
    ) -> Result<(), StoreError>;
    /// Returns the files of a deposition, by name.
    async fn files(&mut self, id: &DepositionId) -> Result<Vec<DepositionFile>, StoreError>;
    /// Stores a file of a locked deposition, replacing any file of that name. Returns the stored file, and the key of
    /// the file that it replaced.
    async fn put_file(
        &mut self,
        id: &DepositionId,
        name: &FileName,
        key: &str,
        bytes: u64,
        sha256: [u8; 32],
    ) -> Result<(DepositionFile, Option<String>), StoreError>;
    /// Removes a file of a locked deposition. Returns its key, if there was one.
    async fn remove_file(&mut self, id: &DepositionId, name: &FileName)
    -> Result<Option<String>, StoreError>;
    /// Freezes a locked deposition as its next submission, whose task exists already.
    async fn submit(&mut self, submission: &Submission) -> Result<(), StoreError>;
    /// Returns the newest submission of a deposition.
    async fn submission(&mut self, task: TaskId) -> Result<Option<Submission>, StoreError>;
    /// Marks a submission as being validated.
    async fn begin_validation(&mut self, task: TaskId) -> Result<(), StoreError>;
    /// Stores the results of the hooks for a submission; their runs are stored already.
    async fn add_results(&mut self, task: TaskId, results: &[SubmissionResult]) -> Result<(), StoreError>;
    /// Returns the results of the hooks for a submission, in their order.
    async fn results(&mut self, task: TaskId) -> Result<Vec<SubmissionResult>, StoreError>;
    /// Ends a submission, and updates the state of its locked deposition.
    async fn end_submission(
        &mut self,
        submission: &Submission,
        status: SubmissionStatus,
        reasons: &[String],
        deposition: DepositionStatus,
    ) -> Result<(), StoreError>;
    /// Stores who decided about a submission.
    async fn set_curator(&mut self, task: TaskId, curator: UserId) -> Result<(), StoreError>;
    /// Marks a locked deposition as published under this record.
    async fn accept(&mut self, id: &DepositionId, record: &RecordSrn) -> Result<(), StoreError>;
}
