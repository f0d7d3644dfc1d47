//! A part of an archive's provenance as one picture: records, the rows computed for them, and the runs, releases, tasks and principals
//! behind these (PRV-6). What exports are written from.

use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::{
    Actor, ColumnDef, ConventionSlug, Digest, HookName, IngestRunId, NodeDomain, RecordSrn, ReleaseId,
    ReleaseVersion, RunId, RunStatus, SchemaRef, TaskId,
};

/// A part of an archive's provenance, ready to be written.
///
/// Order carries no meaning, and of two entries with one id the first is taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Lineage {
    /// The node that exports it.
    pub node: NodeDomain,
    /// Where the node is reached, such as `https://archive.example.org`, without a slash at its end.
    pub base_url: String,
    /// When it was put together.
    pub exported_at: OffsetDateTime,
    /// What it is called, in a few words.
    pub title: String,
    /// Under which terms the data may be used: a URL or a sentence. Without one the crate says that none is stated.
    pub license: Option<String>,
    /// What was asked about.
    pub subject: Subject,
    /// Whether there was more than was put in; each document then says so.
    pub truncated: bool,
    /// Records.
    pub records: Vec<LineageRecord>,
    /// What hook runs computed.
    pub row_sets: Vec<RowSet>,
    /// Hook runs.
    pub runs: Vec<LineageRun>,
    /// Hook releases.
    pub releases: Vec<LineageRelease>,
    /// Tasks, with their delegations.
    pub tasks: Vec<LineageTask>,
    /// What is known of principals beyond their ids.
    pub agents: Vec<LineageAgent>,
    /// Feature tables whose columns are known; others are described without.
    pub tables: Vec<LineageTable>,
}

/// What an export is about.
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
        /// Which of its releases.
        version: ReleaseVersion,
    },
    /// A feature table.
    Table {
        /// The schema whose records it describes.
        schema: SchemaRef,
        /// The hook that owns it.
        feature: HookName,
    },
}

/// A record at one version.
#[derive(Clone, Debug, PartialEq)]
pub struct LineageRecord {
    /// Its name.
    pub srn: RecordSrn,
    /// Its schema.
    pub schema: SchemaRef,
    /// When it was published.
    pub created_at: OffsetDateTime,
    /// The SHA-256 of its content, if it is kept.
    pub content_hash: Option<[u8; 32]>,
    /// Where it came from; none when that is not known.
    pub source: Option<LineageSource>,
    /// The version before it. Only an earlier version of the same record is taken for one.
    pub previous: Option<RecordSrn>,
}

/// Where a record came from.
#[derive(Clone, Debug, PartialEq)]
pub enum LineageSource {
    /// An ingest run.
    Ingest {
        /// The convention.
        convention: ConventionSlug,
        /// The run.
        run: IngestRunId,
        /// The source's own id of the record.
        source_id: String,
        /// Who pushed it; none for what an ingester pulled.
        pushed_by: Option<Actor>,
    },
    /// A deposition.
    Deposition {
        /// The deposition's name.
        srn: String,
        /// The convention.
        convention: ConventionSlug,
        /// Whose draft it was.
        owner: Actor,
        /// Who let it in; none when nobody had to.
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
    /// The hook run.
    pub run: RunId,
    /// The record.
    pub record: RecordSrn,
    /// The id of the first row; none when there is no row.
    pub first_row: Option<i64>,
    /// The id of the last row; none when there is no row.
    pub last_row: Option<i64>,
    /// How many rows there are.
    pub count: u64,
    /// When they were inserted.
    pub created_at: OffsetDateTime,
    /// Whether they stand in the table now.
    pub current: bool,
    /// The hook run whose rows took their place.
    pub superseded_by: Option<RunId>,
}

/// One execution of a hook release.
#[derive(Clone, Debug, PartialEq)]
pub struct LineageRun {
    /// Its id.
    pub id: RunId,
    /// The release that was executed.
    pub release: ReleaseId,
    /// How it ended.
    pub status: RunStatus,
    /// When it started.
    pub started_at: OffsetDateTime,
    /// When it ended.
    pub finished_at: OffsetDateTime,
    /// Which worker ran it.
    pub worker: String,
    /// How often it was run again with more memory.
    pub oom_retries: u32,
    /// Why it failed, in a sentence, for readers who may see that.
    pub failure: Option<String>,
    /// The task that it was part of.
    pub task: Option<TaskId>,
    /// Records that it read and that no row set names: a run that failed has no rows, but it had input.
    pub inputs: Vec<RecordSrn>,
}

/// An immutable, numbered artifact of a hook.
#[derive(Clone, Debug, PartialEq)]
pub struct LineageRelease {
    /// Its id.
    pub id: ReleaseId,
    /// The hook.
    pub hook: HookName,
    /// Its number.
    pub version: ReleaseVersion,
    /// Where the image is.
    pub image: String,
    /// Which bytes.
    pub digest: Digest,
    /// The commit that it was built from, as whoever released it says.
    pub source_ref: String,
    /// What the hook was given as `config.json`.
    pub config: Map<String, Value>,
    /// Who released it.
    pub built_by: Actor,
    /// When.
    pub built_at: OffsetDateTime,
}

/// A unit of work that somebody asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct LineageTask {
    /// Its id.
    pub id: TaskId,
    /// What kind of work it is.
    pub kind: String,
    /// Who asked for it; none when the server did.
    pub creator: Option<Actor>,
    /// When.
    pub created_at: OffsetDateTime,
    /// How it was handed on.
    pub delegations: Vec<LineageDelegation>,
}

/// The durable fact that a task was handed by a caller to a callee.
#[derive(Clone, Debug, PartialEq)]
pub struct LineageDelegation {
    /// Its id.
    pub id: String,
    /// Who handed it over: `user:<id>`, `service_account:<id>`, `system`, or any other name.
    pub caller: String,
    /// Who was handed it, in the same form.
    pub callee: String,
    /// How it stands.
    pub status: String,
    /// The attempt's number.
    pub attempt: u32,
    /// When it was written down.
    pub created_at: OffsetDateTime,
    /// When it changed last.
    pub updated_at: OffsetDateTime,
}

/// What is known of a principal.
#[derive(Clone, Debug, PartialEq)]
pub struct LineageAgent {
    /// Who it is.
    pub actor: Actor,
    /// Its name. A person's is only filled in for readers who may see it; without one the id stands for it.
    pub name: Option<String>,
    /// Who vouches for it: an identity provider, or a service account's issuer.
    pub authority: Option<String>,
}

/// The columns of a feature table.
#[derive(Clone, Debug, PartialEq)]
pub struct LineageTable {
    /// The hook that owns it.
    pub hook: HookName,
    /// The columns that the hook declares, in order.
    pub columns: Vec<ColumnDef>,
}
