//! The content of a trace page: a row and its provenance.

use serde_json::Value;
use time::OffsetDateTime;

use crate::model::{FieldValue, Node, Source, Who};

/// The row that is traced.
#[derive(Clone, Debug)]
pub struct TracedRow {
    /// Its id.
    pub id: i64,
    /// The values of the hook's columns.
    pub values: Vec<FieldValue>,
    /// When it was inserted.
    pub created_at: OffsetDateTime,
    /// Whether the table still shows it.
    pub current: bool,
    /// The run that replaced it.
    pub superseded_by: Option<String>,
}

/// The run that computed it.
#[derive(Clone, Debug)]
pub struct TracedRun {
    /// Its id.
    pub id: String,
    /// How it ended.
    pub status: String,
    /// When it started.
    pub started_at: OffsetDateTime,
    /// When it finished.
    pub finished_at: OffsetDateTime,
    /// How long it took, in seconds.
    pub duration_s: f64,
    /// How often it was run again with more memory.
    pub oom_retries: u32,
    /// Which worker ran it.
    pub worker: String,
    /// The location that its image was read from.
    pub image: String,
}

/// When, by whom and why a release was withdrawn.
#[derive(Clone, Debug)]
pub struct Yanked {
    /// The reason.
    pub reason: String,
    /// Who withdrew it: `user:<id>` or `service_account:<id>`.
    pub by: String,
    /// When it was withdrawn.
    pub at: OffsetDateTime,
}

/// A location of a release's image.
#[derive(Clone, Debug)]
pub struct TracedLocation {
    /// The location.
    pub image: String,
    /// Who registered it: `user:<id>` or `service_account:<id>`.
    pub by: String,
    /// When it was registered.
    pub at: OffsetDateTime,
}

/// The release that ran.
#[derive(Clone, Debug)]
pub struct TracedRelease {
    /// Its id.
    pub id: String,
    /// Its hook.
    pub hook: String,
    /// Its number.
    pub version: u32,
    /// The location of its image that is in use.
    pub image: String,
    /// Every location of its image, in order.
    pub locations: Vec<TracedLocation>,
    /// Its image's digest.
    pub digest: String,
    /// Its config, a JSON object.
    pub config: Value,
    /// Its limits: name and value.
    pub limits: Vec<(String, String)>,
    /// The commit it was built from.
    pub source_ref: String,
    /// Who released it.
    pub built_by: Who,
    /// When it was built.
    pub built_at: OffsetDateTime,
    /// The version that is live now.
    pub live_version: Option<u32>,
    /// Its withdrawal, while it is withdrawn.
    pub yanked: Option<Yanked>,
}

/// The record that the row is about.
#[derive(Clone, Debug)]
pub struct TracedRecord {
    /// Its id.
    pub id: String,
    /// Its SRN.
    pub srn: String,
    /// Its version.
    pub version: u32,
    /// Its schema version, `id@version`.
    pub schema: String,
    /// When it was published.
    pub created_at: OffsetDateTime,
}

/// One delegation of the task.
#[derive(Clone, Debug)]
pub struct TracedDelegation {
    /// Its id.
    pub id: String,
    /// The party that delegated.
    pub caller: String,
    /// The party that it was delegated to.
    pub callee: String,
    /// How it ended.
    pub status: String,
    /// Its attempt.
    pub attempt: i64,
    /// Which worker held it last.
    pub worker: Option<String>,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When its state last changed.
    pub updated_at: OffsetDateTime,
}

/// The task that made the run.
#[derive(Clone, Debug)]
pub struct TracedTask {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its status.
    pub status: String,
    /// Who created it.
    pub creator: Who,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// Its delegations, in order.
    pub delegations: Vec<TracedDelegation>,
}

/// A row's trace (PRV-6).
#[derive(Clone, Debug)]
pub struct TracePage {
    /// The node.
    pub node: Node,
    /// The schema as requested: `id` or `id@version`.
    pub schema: String,
    /// The feature table.
    pub feature: String,
    /// The row.
    pub row: TracedRow,
    /// The run that computed it.
    pub run: TracedRun,
    /// The release that ran.
    pub release: TracedRelease,
    /// The record that it is about.
    pub record: TracedRecord,
    /// The source of that record.
    pub source: Option<Source>,
    /// The task that made the run.
    pub task: Option<TracedTask>,
}
