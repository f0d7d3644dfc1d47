//! Ingest runs, their lines and batches.

use async_trait::async_trait;
use domain::ingest::refused::RefusedLine;
use domain::ingest::run::PushedRecord;
use domain::{
    Actor, ConventionSlug, HookName, IngestMode, IngestRunId, IngestStatus, RecordSrn, Schema, SchemaRef,
    SourceId, TaskId,
};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::error::StoreError;

/// A new ingest run.
#[derive(Clone, Debug)]
pub struct NewIngestRun {
    /// Its id.
    pub id: IngestRunId,
    /// The convention.
    pub convention: ConventionSlug,
    /// Where the records come from.
    pub mode: IngestMode,
    /// The schema version of its records.
    pub schema: SchemaRef,
    /// Records per batch.
    pub batch_size: u32,
    /// The maximum number of records of the run.
    pub limit: Option<u64>,
    /// Pulls only what changed after this.
    pub since: Option<OffsetDateTime>,
    /// The scheduled time that it was opened for.
    pub scheduled_for: Option<OffsetDateTime>,
    /// Who opened it.
    pub opened_by: Actor,
}

/// What the processing of a batch needs of its ingest run.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchRun {
    /// The convention.
    pub convention: ConventionSlug,
    /// The schema of its records.
    pub schema: Schema,
    /// Its state at that moment.
    pub status: IngestStatus,
}

/// An ingest run whose row is locked.
#[derive(Clone, Debug, PartialEq)]
pub struct LockedIngestRun {
    /// The convention.
    pub convention: ConventionSlug,
    /// The schema version of its records.
    pub schema: SchemaRef,
    /// Its state.
    pub status: IngestStatus,
    /// Whether it was closed.
    pub ingestion_finished: bool,
    /// Records per batch.
    pub batch_size: u32,
    /// The maximum number of records of the run.
    pub limit: Option<u64>,
    /// How many records it has received.
    pub received: u64,
    /// The number of the next batch.
    pub next_batch: u32,
    /// How many batches have ended.
    pub batches_done: u32,
    /// Where its records come from.
    pub mode: IngestMode,
    /// The session that the ingester left with the last pull.
    pub session: Option<Map<String, Value>>,
    /// How many pulls were stored.
    pub pulls: u64,
    /// How many records the pulls returned.
    pub pulled: u64,
    /// Pulls only what changed after this.
    pub since: Option<OffsetDateTime>,
    /// Who opened it.
    pub opened_by: Actor,
}

/// One line that arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct IngestLine {
    /// Its number in its upload, from 1; for CSV, the line on which the row begins.
    pub line: u64,
    /// Its content.
    pub record: PushedRecord,
}

/// The result for a line that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineResult {
    /// New in this run, and waiting for a batch.
    Accepted,
    /// New in this run, and equal to the newest published version of its record: no work is needed (WC-D21).
    Unchanged,
    /// Repeats a line of this run with the same content: nothing changes.
    Repeated,
    /// Repeats a line of this run with other content: refused, because a run cannot hold both.
    Contradicts,
}

/// A record of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchRecord {
    /// The source's id.
    pub source_id: SourceId,
    /// The metadata as submitted.
    pub metadata: Map<String, Value>,
    /// Its hash.
    pub content_hash: [u8; 32],
}

/// The result for one record of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordEnd {
    /// Published under this SRN.
    Published(RecordSrn),
    /// Refused by this hook, for this reason.
    Rejected(HookName, String),
    /// Not judged by this hook, for this reason.
    Errored(HookName, String),
    /// Errored without a hook: it cannot be stored, for this reason.
    Unstorable(String),
}

/// The results of a batch, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Records published.
    pub published: u64,
    /// Records rejected.
    pub rejected: u64,
    /// Records errored.
    pub errored: u64,
}

/// Ingest runs, their lines and batches.
#[async_trait]
pub trait Ingests: Send {
    /// Returns what the processing of a batch needs. Takes no lock, so it never waits for another batch of the run
    /// that is being written.
    async fn batch_run(&mut self, run: IngestRunId) -> Result<Option<BatchRun>, StoreError>;
    /// Returns the schema of a run's records.
    async fn schema(&mut self, run: IngestRunId) -> Result<Option<Schema>, StoreError>;
    /// Opens a run. Returns `Some(active)` if the convention has an active one (WC-D32), which the database decides.
    async fn open(&mut self, run: &NewIngestRun) -> Result<Option<IngestRunId>, StoreError>;
    /// Returns how many active runs this caller opened, counting no further than `most`.
    async fn open_runs(&mut self, opener: &Actor, most: u32) -> Result<u32, StoreError>;
    /// Locks a run until the end of the unit of work.
    async fn lock(&mut self, run: IngestRunId) -> Result<Option<LockedIngestRun>, StoreError>;
    /// Numbers a new upload of a locked run, from 1, and stores who sends it.
    async fn next_upload(&mut self, run: IngestRunId, pushed_by: &Actor) -> Result<u32, StoreError>;
    /// Adds lines to a locked run. Returns one result per line, in order. If a source id occurs twice among `lines`,
    /// the second occurrence is judged as if it had arrived later.
    async fn add_lines(
        &mut self,
        run: IngestRunId,
        convention: &ConventionSlug,
        upload: u32,
        lines: &[IngestLine],
    ) -> Result<Vec<LineResult>, StoreError>;
    /// Stores refused lines of an upload of a locked run, ordered by line, and adds them to the run's count. A line that
    /// the run has stored with the same number and digest is neither stored nor counted again. Beyond `most` stored
    /// lines of the run, lines are counted only.
    async fn add_refused(
        &mut self,
        run: IngestRunId,
        upload: u32,
        lines: &[RefusedLine],
        most: u32,
    ) -> Result<(), StoreError>;
    /// Returns how many lines of a locked run wait for a batch.
    async fn waiting(&mut self, run: IngestRunId) -> Result<u64, StoreError>;
    /// Forms the batch `batch` of `task` from the oldest waiting lines of a locked run: at most `most` lines and a
    /// bounded number of bytes, but at least one line. Returns the number of lines.
    async fn cut_batch(
        &mut self,
        run: IngestRunId,
        batch: u32,
        task: TaskId,
        most: u32,
    ) -> Result<u32, StoreError>;
    /// Marks a locked run as closed: no more lines.
    async fn close(&mut self, run: IngestRunId) -> Result<(), StoreError>;
    /// Returns the records of a batch, in order of arrival.
    async fn batch_records(&mut self, run: IngestRunId, batch: u32) -> Result<Vec<BatchRecord>, StoreError>;
    /// Writes the result for each record of a batch, and adds them to the run's counts. Lock the run first.
    async fn end_batch(
        &mut self,
        run: IngestRunId,
        batch: u32,
        ends: &[(SourceId, RecordEnd)],
    ) -> Result<(), StoreError>;
    /// Marks a batch as failed: its records are errored with `reason`. Lock the run first.
    async fn fail_batch(
        &mut self,
        run: IngestRunId,
        batch: u32,
        kind: &str,
        reason: &str,
    ) -> Result<u64, StoreError>;
    /// Ends a locked run if it is closed and all of its batches have ended. If it did, returns how many records the
    /// run published.
    async fn complete_if_done(&mut self, run: IngestRunId) -> Result<Option<u64>, StoreError>;
}
