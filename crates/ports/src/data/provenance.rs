//! Reads of the provenance of a row.

use async_trait::async_trait;
use domain::registry::hook::HookRelease;
use domain::{
    Actor, ConventionSlug, DepositionId, HookRun, IngestRunId, ReleaseVersion, RunId, SourceId, TaskId,
};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::data::{RecordView, Table};
use crate::error::StoreError;

/// One delegation of the work that made a row.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceDelegation {
    /// Its id.
    pub id: String,
    /// The party that delegated.
    pub caller: String,
    /// The party that it was delegated to.
    pub callee: String,
    /// Its state.
    pub status: String,
    /// The number of its last claim.
    pub attempt: i64,
    /// How often the task was delegated before this.
    pub retry_count: i32,
    /// Which worker held it last.
    pub worker: Option<String>,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When it last changed.
    pub updated_at: OffsetDateTime,
}

/// A principal as provenance shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The principal.
    pub actor: Actor,
    /// A user's display name, or a service account's subject.
    pub name: Option<String>,
    /// A user's identity provider, or a service account's issuer.
    pub authority: Option<String>,
}

/// Where a record's line came from.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSource {
    /// The convention.
    pub convention: ConventionSlug,
    /// The ingest run.
    pub run: IngestRunId,
    /// The source's id of the record.
    pub source_id: SourceId,
    /// Which upload of the run.
    pub upload: i32,
    /// The line in it.
    pub line: i64,
    /// The batch.
    pub batch: Option<i32>,
    /// Who opened the run.
    pub opened_by: Identity,
    /// Who sent the upload.
    pub pushed_by: Identity,
}

/// The deposition that a record was published from.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceDeposition {
    /// The deposition.
    pub id: DepositionId,
    /// Its convention.
    pub convention: ConventionSlug,
    /// Which submission of it was published, from 1.
    pub submission: u64,
    /// When it was submitted.
    pub submitted_at: OffsetDateTime,
    /// Who submitted it.
    pub owner: Identity,
    /// Who approved it, where a curator had to.
    pub curated_by: Option<Identity>,
}

/// The task that made a row.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceTask {
    /// Its id.
    pub id: TaskId,
    /// What kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub status: String,
    /// Who created it.
    pub creator: Identity,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// Its delegations, oldest first.
    pub delegations: Vec<TraceDelegation>,
}

/// The full provenance of one row (PRV-6).
#[derive(Clone, Debug, PartialEq)]
pub struct RowTrace {
    /// The row's id in its table.
    pub row_id: i64,
    /// Its values, by column.
    pub values: Map<String, Value>,
    /// When it was written.
    pub created_at: OffsetDateTime,
    /// The run that replaced it, if one did.
    pub superseded_by: Option<RunId>,
    /// Whether the table shows the row: it is not superseded, and its record has no newer version.
    pub current: bool,
    /// The run that made it.
    pub run: HookRun,
    /// The release that ran.
    pub release: HookRelease,
    /// Who released it.
    pub built_by: Identity,
    /// Which release is live now.
    pub live: Option<ReleaseVersion>,
    /// The record it is about.
    pub record: RecordView,
    /// Where the record came from.
    pub source: Option<TraceSource>,
    /// The deposition that it was published from.
    pub deposition: Option<TraceDeposition>,
    /// The task that made the row, with its creator and its delegations.
    pub task: Option<TraceTask>,
}

/// Provenance.
#[async_trait]
pub trait ProvenanceQueries: Send + Sync {
    /// Returns a hook run.
    async fn run(&self, id: RunId) -> Result<Option<HookRun>, StoreError>;
    /// Returns whether a run made rows.
    async fn has_rows(&self, run: RunId) -> Result<bool, StoreError>;
    /// Returns the trace of a row of a feature table if its record lies in the table's scope. Superseded rows can be
    /// traced too.
    async fn trace(&self, table: &Table, row: i64) -> Result<Option<RowTrace>, StoreError>;
}
