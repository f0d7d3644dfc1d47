//! Ingest runs, their lines and batches.

use async_trait::async_trait;
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
    /// The most records of the run.
    pub limit: Option<u64>,
    /// Only what changed after this is pulled.
    pub since: Option<OffsetDateTime>,
    /// The time of its schedule that it is for.
    pub scheduled_for: Option<OffsetDateTime>,
    /// Who opened it.
    pub opened_by: Actor,
}

/// What a batch of an ingest run is worked off by.
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
    /// The most records of the run.
    pub limit: Option<u64>,
    /// How many records it has received.
    pub received: u64,
    /// The number of the next batch.
    pub next_batch: u32,
    /// How many batches have an end.
    pub batches_done: u32,
    /// Where its records come from.
    pub mode: IngestMode,
    /// What the ingester left as its session with the last pull.
    pub session: Option<Map<String, Value>>,
    /// How many pulls were stored.
    pub pulls: u64,
    /// How many records they gave.
    pub pulled: u64,
    /// Only what changed after this is pulled.
    pub since: Option<OffsetDateTime>,
    /// Who opened it.
    pub opened_by: Actor,
}

/// One line that came in.
#[derive(Clone, Debug, PartialEq)]
pub struct IngestLine {
    /// Its number in its upload, from 1; for CSV, the line on which the row begins.
    pub line: u64,
    /// What it says.
    pub record: PushedRecord,
}

/// What became of a line that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineResult {
    /// New in this run, and waiting for a batch.
    Accepted,
    /// New in this run, and equal to the newest published version of its record: nothing to do (WC-D21).
    Unchanged,
    /// It came before in this run, with the same content: nothing changes.
    Repeated,
    /// It came before in this run, with other content: refused, for the run cannot hold both.
    Contradicts,
}

/// What a batch holds.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchRecord {
    /// The source's id.
    pub source_id: SourceId,
    /// The metadata as given.
    pub metadata: Map<String, Value>,
    /// Its hash.
    pub content_hash: [u8; 32],
}

/// What became of one record of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordEnd {
    /// Published under this SRN.
    Published(RecordSrn),
    /// Refused by this hook, for this reason.
    Rejected(HookName, String),
    /// Not judged by this hook, for this reason.
    Errored(HookName, String),
}

/// What a batch came to.
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
    /// What a run's batches are worked off by. Takes no lock, so that it waits for no other batch of the run that is being written.
    async fn batch_run(&mut self, run: IngestRunId) -> Result<Option<BatchRun>, StoreError>;
    /// The schema of a run's records.
    async fn schema(&mut self, run: IngestRunId) -> Result<Option<Schema>, StoreError>;
    /// Opens a run; `Some(active)` when the convention has an active one (WC-D32), which the database decides.
    async fn open(&mut self, run: &NewIngestRun) -> Result<Option<IngestRunId>, StoreError>;
    /// Locks a run until the end of the unit of work.
    async fn lock(&mut self, run: IngestRunId) -> Result<Option<LockedIngestRun>, StoreError>;
    /// Numbers a new upload of a locked run, from 1, and keeps who sends it.
    async fn next_upload(&mut self, run: IngestRunId, pushed_by: &Actor) -> Result<u32, StoreError>;
    /// Adds lines to a locked run; one result per line, in order. A source id that stands twice among `lines` is judged as if the
    /// second had come later.
    async fn add_lines(
        &mut self,
        run: IngestRunId,
        convention: &ConventionSlug,
        upload: u32,
        lines: &[IngestLine],
    ) -> Result<Vec<LineResult>, StoreError>;
    /// How many lines of a locked run wait for a batch.
    async fn waiting(&mut self, run: IngestRunId) -> Result<u64, StoreError>;
    /// Makes the oldest waiting lines of a locked run, at most `most` and a bounded number of bytes, but at least one, the batch
    /// `batch` of `task`; gives how many they are.
    async fn cut_batch(
        &mut self,
        run: IngestRunId,
        batch: u32,
        task: TaskId,
        most: u32,
    ) -> Result<u32, StoreError>;
    /// Marks a locked run as closed: no more lines.
    async fn close(&mut self, run: IngestRunId) -> Result<(), StoreError>;
    /// The records of a batch, in the order in which they came.
    async fn batch_records(&mut self, run: IngestRunId, batch: u32) -> Result<Vec<BatchRecord>, StoreError>;
    /// Writes what became of a batch's records and adds it to the run's counts. Lock the run first.
    async fn end_batch(
        &mut self,
        run: IngestRunId,
        batch: u32,
        ends: &[(SourceId, RecordEnd)],
    ) -> Result<(), StoreError>;
    /// Writes that a batch was given up: its records are errored with `reason`. Lock the run first.
    async fn fail_batch(
        &mut self,
        run: IngestRunId,
        batch: u32,
        kind: &str,
        reason: &str,
    ) -> Result<u64, StoreError>;
    /// Ends a locked run that is closed and whose every batch has an end; gives whether it did.
    async fn complete_if_done(&mut self, run: IngestRunId) -> Result<bool, StoreError>;
}
