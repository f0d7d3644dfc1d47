//! Reads, on a pool and outside any unit of work.

use async_trait::async_trait;
use domain::convention::Convention;
use domain::hook::{FeatureContract, HookRelease};
use domain::{
    Actor, ConventionSlug, DepositionId, EntryId, HookName, HookRun, IngestMode, IngestRunId, IngestStatus,
    LiveMove, NodeDomain, ReleaseVersion, RunId, Schema, SchemaRef, SourceId, TaskId,
};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::error::StoreError;
pub use crate::tables::{
    DataQueries, PageKey, Recall, RecallCounts, RecallQueries, RecordView, RowStream, Settled, Table,
    TableColumn, TableCounts, TableKind, TableQuery,
};

/// A hook in the catalogue.
#[derive(Clone, Debug, PartialEq)]
pub struct HookSummary {
    /// Its name.
    pub name: HookName,
    /// Its contract.
    pub contract: FeatureContract,
    /// The live release.
    pub live: Option<HookRelease>,
}

/// Hooks and conventions.
#[async_trait]
pub trait RegistryQueries: Send + Sync {
    /// Every hook, by name.
    async fn hooks(&self) -> Result<Vec<HookSummary>, StoreError>;
    /// One hook.
    async fn hook(&self, name: &HookName) -> Result<Option<HookSummary>, StoreError>;
    /// The releases of a hook, newest first.
    async fn releases(&self, name: &HookName) -> Result<Vec<HookRelease>, StoreError>;
    /// One release, and whether it is live; both from one snapshot.
    async fn release(
        &self,
        name: &HookName,
        version: ReleaseVersion,
    ) -> Result<Option<(HookRelease, bool)>, StoreError>;
    /// The moves of a hook's pointer, newest first: at most `most` of those before the move `before`.
    async fn live_moves(
        &self,
        name: &HookName,
        before: Option<u32>,
        most: u32,
    ) -> Result<Vec<LiveMove>, StoreError>;
    /// The last move that was made at or before `at`, with the release that it made live; and `at`, which is now where none is given.
    async fn live_at(
        &self,
        name: &HookName,
        at: Option<OffsetDateTime>,
    ) -> Result<(OffsetDateTime, Option<(LiveMove, HookRelease)>), StoreError>;
    /// One schema version, with the time of its registration.
    async fn schema(&self, reference: &SchemaRef) -> Result<Option<(Schema, OffsetDateTime)>, StoreError>;
    /// Every schema version, newest registration first.
    async fn schemas(&self) -> Result<Vec<(Schema, OffsetDateTime)>, StoreError>;
    /// Every convention, newest first.
    async fn conventions(&self) -> Result<Vec<Convention>, StoreError>;
    /// One convention.
    async fn convention(&self, slug: &ConventionSlug) -> Result<Option<Convention>, StoreError>;
}

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
    /// How many records they gave.
    pub pulled: u64,
    /// How many of their lines were no records.
    pub refused: u64,
    /// Only what changed after this is pulled.
    pub since: Option<OffsetDateTime>,
    /// The time of its schedule that it is for.
    pub scheduled_for: Option<OffsetDateTime>,
    /// Its state.
    pub status: IngestStatus,
    /// Whether all records have come.
    pub ingestion_finished: bool,
    /// Records per batch.
    pub batch_size: u32,
    /// The most records of the run.
    pub limit: Option<u64>,
    /// Records received, repeats not counted.
    pub received: u64,
    /// Of these, equal to what was published before.
    pub unchanged: u64,
    /// Batches formed.
    pub batches_ingested: u32,
    /// Batches done.
    pub batches_completed: u32,
    /// Batches given up.
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
    /// The hook.
    pub hook: String,
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
    /// The newest time of its schedule for which there was a run.
    pub last: Option<OffsetDateTime>,
    /// Whether it has an active run.
    pub active: bool,
    /// The time, by the database's clock.
    pub now: OffsetDateTime,
}

/// Ingest runs.
#[async_trait]
pub trait IngestQueries: Send + Sync {
    /// The newest runs.
    async fn runs(&self, most: u32) -> Result<Vec<IngestRunView>, StoreError>;
    /// One run.
    async fn run(&self, id: IngestRunId) -> Result<Option<IngestRunView>, StoreError>;
    /// Why records of a run were refused, most frequent first, at most `most` reasons.
    async fn reasons(&self, id: IngestRunId, most: u32) -> Result<Vec<ReasonCount>, StoreError>;
    /// The conventions whose ingesters have a schedule.
    async fn schedules(&self) -> Result<Vec<ScheduleView>, StoreError>;
    /// One schema version.
    async fn schema(&self, reference: &SchemaRef) -> Result<Option<Schema>, StoreError>;
}

/// One delegation of the work that made a row.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceDelegation {
    /// Its id.
    pub id: String,
    /// Who handed it over.
    pub caller: String,
    /// To whom.
    pub callee: String,
    /// Its state.
    pub status: String,
    /// The number of its last claim.
    pub attempt: i64,
    /// How often the task was delegated before.
    pub retry_count: i32,
    /// Which worker held it last.
    pub worker: Option<String>,
    /// When it was handed over.
    pub created_at: OffsetDateTime,
    /// When it last changed.
    pub updated_at: OffsetDateTime,
}

/// Who somebody was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub actor: Actor,
    /// A user's display name, or a service account's subject.
    pub name: Option<String>,
    /// A user's identity provider, or a service account's issuer.
    pub authority: Option<String>,
}

/// Where a record's line came in.
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
    /// Who asked for it.
    pub creator: Identity,
    /// When.
    pub created_at: OffsetDateTime,
    /// To whom it was handed, in order.
    pub delegations: Vec<TraceDelegation>,
}

/// Everything that one row came from (PRV-6).
#[derive(Clone, Debug, PartialEq)]
pub struct RowTrace {
    /// The row: its id, its values by column, when it was written.
    pub row_id: i64,
    /// Its values.
    pub values: Map<String, Value>,
    /// When it was written.
    pub created_at: OffsetDateTime,
    /// The run that replaced it, if one did.
    pub superseded_by: Option<RunId>,
    /// Whether it is what the table shows: not superseded, and its record has no newer version.
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
    /// The task, and through it whom it was handed to and who asked.
    pub task: Option<TraceTask>,
}

/// Provenance.
#[async_trait]
pub trait ProvenanceQueries: Send + Sync {
    /// A hook run.
    async fn run(&self, id: RunId) -> Result<Option<HookRun>, StoreError>;
    /// Whether a run made rows.
    async fn has_rows(&self, run: RunId) -> Result<bool, StoreError>;
    /// The trace of a row of a feature table, if its record lies in the table's scope. Rows that were superseded can be traced too.
    async fn trace(&self, node: &NodeDomain, table: &Table, row: i64)
    -> Result<Option<RowTrace>, StoreError>;
}

/// An entry of the activity log as readers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivityEntry {
    /// Its place and name.
    pub id: EntryId,
    /// What happened.
    pub kind: String,
    /// What it happened to.
    pub subject: String,
    /// Who did it.
    pub actor: Actor,
    /// What else is known.
    pub payload: Value,
    /// When its transaction began.
    pub created_at: OffsetDateTime,
}

/// Which entries.
#[derive(Clone, Debug, Default)]
pub struct ActivityFilter {
    /// Who did it.
    pub actor: Option<Actor>,
    /// What it happened to.
    pub subject: Option<String>,
    /// What happened: one of these. All where none is named.
    pub kinds: Vec<String>,
    /// Newest first, and not oldest first.
    pub newest_first: bool,
    /// Only those after this one, in the order of the list.
    pub after: Option<EntryId>,
}

/// Entries of the activity log.
#[derive(Clone, Debug, Default)]
pub struct ActivityPage {
    /// The entries.
    pub entries: Vec<ActivityEntry>,
    /// How far was looked, where the next page begins; nothing where nothing was there to look at.
    pub next: Option<EntryId>,
    /// Whether there is more to look at now.
    pub has_more: bool,
}

/// Reads of the activity log.
#[async_trait]
pub trait ActivityQueries: Send + Sync {
    /// At most `most` entries, in the log's order (LED-8). Only what no open transaction can still put something before is shown, so a
    /// follower that goes on from `next` misses nothing. One look is bounded: where the filter lets few through, a page may be short or
    /// empty although there is more.
    async fn activity(&self, filter: &ActivityFilter, most: u32) -> Result<ActivityPage, StoreError>;
    /// Whether there is such an entry.
    async fn has_entry(&self, id: EntryId) -> Result<bool, StoreError>;
}
