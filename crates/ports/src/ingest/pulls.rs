//! Ingest runs that pull: the result of each pull, the files of its records, schedules, and cancelling a run.

use async_trait::async_trait;
use domain::{ConventionSlug, DelegationId, IngestRunId, TaskId};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::error::StoreError;
use crate::work::RecordFile;

/// The result of a pull.
#[derive(Clone, Debug)]
pub struct PullEnd<'a> {
    /// The run.
    pub run: IngestRunId,
    /// Its number, from 0.
    pub pull: u64,
    /// The task.
    pub task: TaskId,
    /// How many records it returned.
    pub records: u64,
    /// How many of its lines are not records.
    pub refused: u64,
    /// The first of these lines: number, id if it names one, reason.
    pub refusals: &'a [(u64, Option<String>, String)],
    /// The session that the ingester left.
    pub session: Option<&'a Map<String, Value>>,
    /// Why the pull failed for good, if it did: the kind and the reason.
    pub failure: Option<(&'a str, &'a str)>,
    /// The blob-store key of what the ingester printed, if it failed.
    pub log_ref: Option<&'a str>,
    /// The image that ran, its digest and its commit.
    pub image: [&'a str; 3],
    /// How long it ran, in seconds.
    pub duration_s: f64,
}

/// Pulls of ingest runs.
#[async_trait]
pub trait Pulls: Send {
    /// Stores the keys of the files of pulled records; the records are stored already.
    async fn add_files(&mut self, run: IngestRunId, files: &[RecordFile]) -> Result<(), StoreError>;
    /// Returns the files of a batch's records.
    async fn batch_files(&mut self, run: IngestRunId, batch: u32) -> Result<Vec<RecordFile>, StoreError>;
    /// Stores the result of a pull of a locked run, updates its session and counts, and closes the run unless `more`
    /// pulls follow. A pull that failed for good counts as a failed batch (WC-6.4).
    async fn end_pull(&mut self, end: &PullEnd<'_>, more: bool) -> Result<(), StoreError>;
    /// Ends a locked run early: records without an outcome are errored with `reason`, and its remaining batches
    /// are not processed.
    async fn abort(&mut self, run: IngestRunId, kind: &str, reason: &str) -> Result<(), StoreError>;
    /// Returns the open delegations of a run's tasks, ordered by id.
    async fn open_delegations(&mut self, run: IngestRunId) -> Result<Vec<DelegationId>, StoreError>;
    /// Returns whether a run of this convention exists for that scheduled time, or any run at all if `None`.
    async fn has_run(
        &mut self,
        convention: &ConventionSlug,
        scheduled_for: Option<OffsetDateTime>,
    ) -> Result<bool, StoreError>;
    /// Returns when the last full pull run of a convention started. A full run completed without a failed batch, pull
    /// or record, was not ended by its limit, and its start was not chosen by a caller.
    async fn last_full_pull(
        &mut self,
        convention: &ConventionSlug,
    ) -> Result<Option<OffsetDateTime>, StoreError>;
}
