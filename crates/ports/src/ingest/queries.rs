//! Reads of ingest runs.

use async_trait::async_trait;
use domain::{Actor, ConventionSlug, IngestMode, IngestRunId, IngestStatus, SchemaRef};
use time::OffsetDateTime;

use crate::error::StoreError;

/// An ingest run.
#[derive(Clone, Debug, PartialEq)]
pub struct IngestRunView {
    /// Its id.
    pub id: IngestRunId,
    /// The convention.
    pub convention: ConventionSlug,
    /// The schema version of its records.
    pub schema: SchemaRef,
    /// Where its records come from.
    pub mode: IngestMode,
    /// Who opened it.
    pub opened_by: Actor,
    /// How many pulls were stored.
    pub pulls: u64,
    /// How many records the pulls returned.
    pub pulled: u64,
    /// How many lines of its pushes or pulls were refused.
    pub refused: u64,
    /// Pulls only what changed after this.
    pub since: Option<OffsetDateTime>,
    /// The scheduled time that it was opened for.
    pub scheduled_for: Option<OffsetDateTime>,
    /// Its state.
    pub status: IngestStatus,
    /// Whether all records have arrived.
    pub ingestion_finished: bool,
    /// Records per batch.
    pub batch_size: u32,
    /// The maximum number of records of the run.
    pub limit: Option<u64>,
    /// Records received, repeats not counted.
    pub received: u64,
    /// How many of these are equal to what was published before.
    pub unchanged: u64,
    /// Batches formed.
    pub batches_ingested: u32,
    /// Batches done.
    pub batches_completed: u32,
    /// Batches that failed for good.
    pub batches_failed: u32,
    /// Records published.
    pub published: u64,
    /// Records rejected.
    pub rejected: u64,
    /// Records errored.
    pub errored: u64,
    /// When it was opened.
    pub started_at: OffsetDateTime,
    /// When it ended.
    pub completed_at: Option<OffsetDateTime>,
    /// Why it or a batch of it failed.
    pub failure_reason: Option<String>,
    /// The kind of that failure.
    pub failure_kind: Option<String>,
}

/// How many records were refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonCount {
    /// `rejected` or `errored`.
    pub outcome: String,
    /// The hook that decided the outcome; `None` if none did: their batch failed, or the run was cancelled.
    pub hook: Option<String>,
    /// The reason.
    pub reason: String,
    /// How many.
    pub records: u64,
}

/// A convention whose ingester has a schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleView {
    /// The convention.
    pub convention: ConventionSlug,
    /// The cron expression.
    pub cron: String,
    /// When the convention was last deployed.
    pub deployed_at: OffsetDateTime,
    /// The newest scheduled time for which there was a run.
    pub last: Option<OffsetDateTime>,
    /// Whether it has an active run.
    pub active: bool,
    /// The current time, by the database's clock.
    pub now: OffsetDateTime,
}

/// Ingest runs.
#[async_trait]
pub trait IngestQueries: Send + Sync {
    /// Returns the newest runs.
    async fn runs(&self, most: u32) -> Result<Vec<IngestRunView>, StoreError>;
    /// Returns one run.
    async fn run(&self, id: IngestRunId) -> Result<Option<IngestRunView>, StoreError>;
    /// Returns why records of a run were refused, most frequent reason first, at most `most` reasons.
    async fn reasons(&self, id: IngestRunId, most: u32) -> Result<Vec<ReasonCount>, StoreError>;
    /// Returns the conventions whose ingesters have a schedule.
    async fn schedules(&self) -> Result<Vec<ScheduleView>, StoreError>;
}
