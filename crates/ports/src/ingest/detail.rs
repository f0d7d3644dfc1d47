//! Reads of an ingest run in detail: its batches with their hooks, its records, its pulls.

use async_trait::async_trait;
use domain::{Actor, HookName, HookRun, IngestRunId, ReleaseId, ReleaseVersion, RunId, TaskId};
use time::OffsetDateTime;

use crate::error::StoreError;

/// One hook of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchHook {
    /// The hook.
    pub hook: HookName,
    /// The run that the batch has of it.
    pub run: RunId,
    /// The release that was pinned.
    pub release: ReleaseId,
    /// Its version.
    pub version: ReleaseVersion,
    /// How it went; nothing while the batch is not done.
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
    /// Its hooks, in the order in which they run; none before it was begun.
    pub hooks: Vec<BatchHook>,
}

/// A record of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct IngestRecordView {
    /// Its place in the run.
    pub seq: i64,
    /// The source's id.
    pub source_id: String,
    /// `published`, `unchanged`, `rejected` or `errored`; nothing while it waits.
    pub outcome: Option<String>,
    /// The hook that decided it.
    pub hook: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The batch.
    pub batch: Option<u32>,
    /// What it was published as, or is equal to.
    pub record_srn: Option<String>,
}

/// A pull.
#[derive(Clone, Debug, PartialEq)]
pub struct PullView {
    /// Its number in the run, from 0.
    pub pull: u64,
    /// Its task.
    pub task: TaskId,
    /// How many records it gave.
    pub records: u64,
    /// How many of its lines were no records.
    pub refused: u64,
    /// Why it was given up: kind and reason.
    pub failure: Option<(String, String)>,
    /// Where what the ingester printed is kept.
    pub log_ref: Option<String>,
    /// The image that ran, its digest and its commit.
    pub image: [String; 3],
    /// How long it ran, in seconds.
    pub duration_s: f64,
    /// When it was stored.
    pub finished_at: OffsetDateTime,
}

/// A line of a pull that was no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLineView {
    /// Its number in `records.jsonl`, from 1.
    pub line: u64,
    /// The id that it names.
    pub source_id: Option<String>,
    /// Why it is none.
    pub reason: String,
}

/// Reads of ingest runs in detail. Pages are cut by the last number that was seen.
#[async_trait]
pub trait IngestDetailQueries: Send + Sync {
    /// Batches of a run by number, after `after`, at most `most`.
    async fn batches(
        &self,
        run: IngestRunId,
        after: Option<u32>,
        most: u32,
    ) -> Result<Vec<BatchView>, StoreError>;
    /// Records of a run in the order in which they came, after the place `after`, at most `most`; of one outcome if one is named.
    async fn records(
        &self,
        run: IngestRunId,
        outcome: Option<&str>,
        after: Option<i64>,
        most: u32,
    ) -> Result<Vec<IngestRecordView>, StoreError>;
    /// Pulls of a run by number, after `after`, at most `most`.
    async fn pulls(
        &self,
        run: IngestRunId,
        after: Option<u64>,
        most: u32,
    ) -> Result<Vec<PullView>, StoreError>;
    /// The lines of a pull that were no records, as far as they were kept.
    async fn refusals(&self, run: IngestRunId, pull: u64) -> Result<Vec<RefusedLineView>, StoreError>;
    /// The task that a hook run belongs to, and who asked for it.
    async fn task_of_run(&self, run: RunId) -> Result<Option<(TaskId, Actor)>, StoreError>;
}
