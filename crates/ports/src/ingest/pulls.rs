//! Ingest runs that pull: the result of each pull, the files of its records, schedules, and ending a run early.

use async_trait::async_trait;
use domain::{ConventionSlug, DelegationId, IngestRunId, TaskId};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::error::StoreError;
use crate::work::RecordFile;

/// What a pull came to.
#[derive(Clone, Debug)]
pub struct PullEnd<'a> {
    /// The run.
    pub run: IngestRunId,
    /// Its number, from 0.
    pub pull: u64,
    /// The task.
    pub task: TaskId,
    /// How many records it gave.
    pub records: u64,
    /// How many of its lines were no records.
    pub refused: u64,
    /// The first of them: line, id if it named one, why.
    pub refusals: &'a [(u64, Option<String>, String)],
    /// The session that it left.
    pub session: Option<&'a Map<String, Value>>,
    /// Why it was given up, if it was: the kind and the reason.
    pub failure: Option<(&'a str, &'a str)>,
    /// Where what the ingester printed is kept, if it failed.
    pub log_ref: Option<&'a str>,
    /// The image that ran, its digest and its commit.
    pub image: [&'a str; 3],
    /// How long it ran, in seconds.
    pub duration_s: f64,
}

/// Pulls of ingest runs.
#[async_trait]
pub trait Pulls: Send {
    /// Keeps where the files of pulled records are; the records are there already.
    async fn add_files(&mut self, run: IngestRunId, files: &[RecordFile]) -> Result<(), StoreError>;
    /// The files of a batch's records.
    async fn batch_files(&mut self, run: IngestRunId, batch: u32) -> Result<Vec<RecordFile>, StoreError>;
    /// Keeps what a pull of a locked run came to, moves its session and counts on, and closes the run unless `more` is to come. A pull
    /// that was given up counts as a batch that failed (WC-6.4).
    async fn end_pull(&mut self, end: &PullEnd<'_>, more: bool) -> Result<(), StoreError>;
    /// Ends a locked run before its time: what has no outcome is errored with `reason`, and no batch of it is done any more.
    async fn abort(&mut self, run: IngestRunId, kind: &str, reason: &str) -> Result<(), StoreError>;
    /// The open delegations of a run's tasks, in the order of their ids.
    async fn open_delegations(&mut self, run: IngestRunId) -> Result<Vec<DelegationId>, StoreError>;
    /// Whether there is a run of this convention for that time of its schedule, or, where none is given, any run at all.
    async fn has_run(
        &mut self,
        convention: &ConventionSlug,
        scheduled_for: Option<OffsetDateTime>,
    ) -> Result<bool, StoreError>;
    /// When the last pull run of a convention started that brought everything there was: it completed, no batch, pull or record of it
    /// failed, it was not ended by its limit, and where it began was not somebody's choice.
    async fn last_full_pull(
        &mut self,
        convention: &ConventionSlug,
    ) -> Result<Option<OffsetDateTime>, StoreError>;
}
