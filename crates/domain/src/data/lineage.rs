//! A part of an archive's provenance: records, their computed rows, and the runs, releases, tasks and principals behind
//! these (PRV-6). Exports are written from it.

use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::{
    Actor, ColumnDef, ConventionSlug, Digest, HookName, IngestRunId, NodeDomain, RecordSrn, ReleaseId,
    ReleaseVersion, RunId, RunStatus, SchemaRef, TaskId,
};

/// A part of an archive's provenance, ready for export.
///
/// The order has no meaning. Of two entries with the same id, the first counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Lineage {
    /// The exporting node.
    pub node: NodeDomain,
    /// Base URL of the node, such as `https://archive.example.org`, without a trailing slash.
    pub base_url: String,
    /// When the lineage was assembled.
    pub exported_at: OffsetDateTime,
    /// Short title.
    pub title: String,
    /// License of the data: a URL or a sentence. Without one, the crate states that none is given.
    pub license: Option<String>,
    /// The subject of the export.
    pub subject: Subject,
    /// Whether the lineage omits entries because of a limit. Each document then states this.
    pub truncated: bool,
    /// Records at one version each.
    pub records: Vec<LineageRecord>,
    /// Sets of rows that hook runs computed.
    pub row_sets: Vec<RowSet>,
    /// Runs of hook releases.
    pub runs: Vec<LineageRun>,
    /// Releases of hooks.
    pub releases: Vec<LineageRelease>,
    /// Tasks with their delegations.
    pub tasks: Vec<LineageTask>,
    /// Details of principals beyond their ids.
    pub agents: Vec<LineageAgent>,
    /// Feature tables with known columns; other tables are described without columns.
    pub tables: Vec<LineageTable>,
}

/// The subject of an export.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// A record at one version.
    Record(RecordSrn),
    /// A hook run.
    Run(RunId),
    /// A hook release.
    Release {
        /// The hook.
        hook: HookName,
        /// Version of the release.
        version: ReleaseVersion,
    },
    /// A feature table.
    Table {
        /// Schema of the records that the table describes.
        schema: SchemaRef,
        /// The hook that owns the table.
        feature: HookName,
    },
}

/// A record at one version.
#[derive(Clone, Debug, PartialEq)]
pub struct LineageRecord {
    /// SRN of the record version.
    pub srn: RecordSrn,
    /// Schema of the record.
    pub schema: SchemaRef,
    /// When the version was published.
    pub created_at: OffsetDateTime,
    /// SHA-256 of the content, if stored.
    pub content_hash: Option<[u8; 32]>,
    /// Source of the record; `None` if unknown.
    pub source: Option<LineageSource>,
    /// The previous version, which must belong to the same record.
    pub previous: Option<RecordSrn>,
}

/// Source of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum LineageSource {
    /// An ingest run.
    Ingest {
        /// Convention of the run.
        convention: ConventionSlug,
        /// The ingest run.
        run: IngestRunId,
        /// Id of the record in its source.
        source_id: String,
        /// Who pushed the record; `None` for pulled records.
        pushed_by: Option<Actor>,
    },
    /// A deposition.
    Deposition {
        /// SRN of the deposition.
        srn: String,
        /// Convention of the deposition.
        convention: ConventionSlug,
        /// Owner of the deposition.
        owner: Actor,
        /// Curator who approved the deposition; `None` if curation was not required.
        curated_by: Option<Actor>,
    },
}

/// The rows that one hook run computed for one record, in the hook's feature table.
#[derive(Clone, Debug, PartialEq)]
pub struct RowSet {
    /// The hook that owns the table.
    pub hook: HookName,
    /// The record's schema, which is part of the table's address.
    pub schema: SchemaRef,
    /// The hook run that computed the rows.
    pub run: RunId,
    /// The record that the rows belong to.
    pub record: RecordSrn,
    /// Id of the first row; `None` if there are no rows.
    pub first_row: Option<i64>,
    /// Id of the last row; `None` if there are no rows.
    pub last_row: Option<i64>,
    /// Number of rows.
    pub count: u64,
    /// When the rows were inserted.
    pub created_at: OffsetDateTime,
    /// Whether the rows are current.
    pub current: bool,
    /// The hook run whose rows replaced these.
    pub superseded_by: Option<RunId>,
}

/// One execution of a hook release.
#[derive(Clone, Debug, PartialEq)]
pub struct LineageRun {
    /// Id of the run.
    pub id: RunId,
    /// The executed release.
    pub release: ReleaseId,
    /// Final status of the run.
    pub status: RunStatus,
    /// When the run started.
    pub started_at: OffsetDateTime,
    /// When the run ended.
    pub finished_at: OffsetDateTime,
    /// Worker that ran the hook.
    pub worker: String,
    /// Number of retries with more memory.
    pub oom_retries: u32,
    /// Reason for the failure, filled in only for readers who may see it.
    pub failure: Option<String>,
    /// The task that the run was part of.
    pub task: Option<TaskId>,
    /// Input records that no row set names: a failed run has no rows, but it had input.
    pub inputs: Vec<RecordSrn>,
}

/// An immutable, numbered artifact of a hook.
#[derive(Clone, Debug, PartialEq)]
pub struct LineageRelease {
    /// Id of the release.
    pub id: ReleaseId,
    /// The hook that the release belongs to.
    pub hook: HookName,
    /// Version of the release.
    pub version: ReleaseVersion,
    /// Location of the image.
    pub image: String,
    /// Digest of the image.
    pub digest: Digest,
    /// The commit it was built from, as stated by its author.
    pub source_ref: String,
    /// Configuration that the hook receives as `config.json`.
    pub config: Map<String, Value>,
    /// Who released it.
    pub built_by: Actor,
    /// When it was released.
    pub built_at: OffsetDateTime,
}

/// A requested unit of work.
#[derive(Clone, Debug, PartialEq)]
pub struct LineageTask {
    /// Id of the task.
    pub id: TaskId,
    /// Kind of work.
    pub kind: String,
    /// Who requested the task; `None` if the server did.
    pub creator: Option<Actor>,
    /// When the task was created.
    pub created_at: OffsetDateTime,
    /// Delegations of the task, in order.
    pub delegations: Vec<LineageDelegation>,
}

/// The durable fact that a caller delegated a task to a callee.
#[derive(Clone, Debug, PartialEq)]
pub struct LineageDelegation {
    /// Id of the delegation.
    pub id: String,
    /// The caller: `user:<id>`, `service_account:<id>`, `system`, or another name.
    pub caller: String,
    /// The callee, in the same form.
    pub callee: String,
    /// Status of the delegation.
    pub status: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// When the delegation was created.
    pub created_at: OffsetDateTime,
    /// When the delegation last changed.
    pub updated_at: OffsetDateTime,
}

/// Details of a principal.
#[derive(Clone, Debug, PartialEq)]
pub struct LineageAgent {
    /// The principal.
    pub actor: Actor,
    /// Name of the principal. A person's name is filled in only for readers who may see it; otherwise the id replaces
    /// it.
    pub name: Option<String>,
    /// Identity provider of a user, or issuer of a service account.
    pub authority: Option<String>,
}

/// The columns of a feature table.
#[derive(Clone, Debug, PartialEq)]
pub struct LineageTable {
    /// The hook that owns the table.
    pub hook: HookName,
    /// Columns that the hook declares, in order.
    pub columns: Vec<ColumnDef>,
}
