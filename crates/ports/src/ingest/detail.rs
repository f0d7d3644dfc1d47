//! Reads of an ingest run in detail: its batches with their hooks, its records, its pulls.

use async_trait::async_trait;
use domain::ingest::refused::LineFault;
use domain::{Actor, HookName, HookRun, IngestRunId, ReleaseId, ReleaseVersion, RunId, TaskId};
use time::OffsetDateTime;

use crate::error::StoreError;

/// One hook of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchHook {
    /// The hook.
    pub hook: HookName,
    /// The run of the hook in this batch.
    pub run: RunId,
    /// The release that was pinned.
    pub release: ReleaseId,
    /// Its version.
    pub version: ReleaseVersion,
    /// The finished run; `None` while the batch is not done.
    pub outcome: Option<HookRun>,
}

/// A batch.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchView {
    /// Its number in the run, from 0.
    pub batch: u32,
    /// Its task.
    pub task: TaskId,
    /// `queued`, `completed` or `failed`.
    pub status: String,
    /// How many records it has.
    pub records: u64,
    /// Of these, published.
    pub published: u64,
    /// Of these, rejected.
    pub rejected: u64,
    /// Of these, errored.
    pub errored: u64,
    /// Its hooks, in execution order; empty before it begins.
    pub hooks: Vec<BatchHook>,
}

/// A record of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct IngestRecordView {
    /// Its position in the run.
    pub seq: i64,
    /// The source's id.
    pub source_id: String,
    /// `published`, `unchanged`, `rejected` or `errored`; `None` while it waits.
    pub outcome: Option<String>,
    /// The hook that decided it.
    pub hook: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The batch.
    pub batch: Option<u32>,
    /// The record that it was published as, or that it is equal to.
    pub record_srn: Option<String>,
}

/// A pull.
#[derive(Clone, Debug, PartialEq)]
pub struct PullView {
    /// Its number in the run, from 0.
    pub pull: u64,
    /// Its task.
    pub task: TaskId,
    /// How many records it returned.
    pub records: u64,
    /// How many of its lines are not records.
    pub refused: u64,
    /// Why it failed for good: kind and reason.
    pub failure: Option<(String, String)>,
    /// The blob-store key of what the ingester printed.
    pub log_ref: Option<String>,
    /// The image that ran, its digest and its commit.
    pub image: [String; 3],
    /// How long it ran, in seconds.
    pub duration_s: f64,
    /// When it was stored.
    pub finished_at: OffsetDateTime,
}

/// A line of a pull that is not a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLineView {
    /// Its number in `records.jsonl`, from 1.
    pub line: u64,
    /// The id that it names.
    pub source_id: Option<String>,
    /// Why it is not a record.
    pub reason: String,
}

/// A refused line of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusalView {
    /// Its place in the list of the run's refused lines.
    pub place: i64,
    /// The number of its upload, if it was pushed.
    pub upload: Option<u32>,
    /// The number of its pull, if it was pulled.
    pub pull: Option<u64>,
    /// Its number in the upload or in `records.jsonl`, from 1.
    pub line: u64,
    /// The id that it names.
    pub source_id: Option<String>,
    /// What is wrong with it.
    pub faults: Vec<LineFault>,
    /// When it was refused.
    pub refused_at: OffsetDateTime,
}

/// Reads of ingest runs in detail. Pages use keyset pagination on the number.
#[async_trait]
pub trait IngestDetailQueries: Send + Sync {
    /// Returns batches of a run, ordered by number, at most `most` after `after`.
    async fn batches(
        &self,
        run: IngestRunId,
        after: Option<u32>,
        most: u32,
    ) -> Result<Vec<BatchView>, StoreError>;
    /// Returns records of a run in order of arrival, at most `most` after the position `after`. Only those with
    /// `outcome` if one is named.
    async fn records(
        &self,
        run: IngestRunId,
        outcome: Option<&str>,
        after: Option<i64>,
        most: u32,
    ) -> Result<Vec<IngestRecordView>, StoreError>;
    /// Returns pulls of a run, ordered by number, at most `most` after `after`.
    async fn pulls(
        &self,
        run: IngestRunId,
        after: Option<u64>,
        most: u32,
    ) -> Result<Vec<PullView>, StoreError>;
    /// Returns the lines of a pull that are not records, as far as they were stored.
    async fn refusals(&self, run: IngestRunId, pull: u64) -> Result<Vec<RefusedLineView>, StoreError>;
    /// Returns the stored refused lines of a run, of its pushes or of its pulls, in the order in which they were stored,
    /// at most `most` after the place `after`.
    async fn refused_lines(
        &self,
        run: IngestRunId,
        after: Option<i64>,
        most: u32,
    ) -> Result<Vec<RefusalView>, StoreError>;
    /// Returns how many refused lines of a run are stored.
    async fn stored_refusals(&self, run: IngestRunId) -> Result<u64, StoreError>;
    /// Returns the task of a hook run, and who created it.
    async fn task_of_run(&self, run: RunId) -> Result<Option<(TaskId, Actor)>, StoreError>;
}
