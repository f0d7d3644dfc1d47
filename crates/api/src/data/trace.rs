//! The trace of a feature row on the wire (PRV-6).

use std::collections::BTreeMap;

use app::views::{Identity, RowTrace, TraceDelegation, TraceSource, TraceTask};
use poem_openapi::Object;
use serde_json::Value;

use crate::http::render::model_time;
use crate::registry::wire::{WireLimits, WireLocation, WireYank, locations};

/// An actor.
#[derive(Debug, Object)]
#[oai(rename = "TraceWho")]
pub(crate) struct Who {
    /// `user:<id>`, `service_account:<id>` or `system`.
    pub(crate) id: String,
    /// Name of a user (only where the caller may see it), or subject of a service account.
    pub(crate) name: Option<String>,
    /// Identity provider of a user (only where the caller may see it), or issuer of a service account.
    pub(crate) authority: Option<String>,
}

impl From<Identity> for Who {
    fn from(identity: Identity) -> Self {
        Self {
            id: identity.actor.to_string(),
            name: identity.name,
            authority: identity.authority,
        }
    }
}

/// The traced row.
#[derive(Debug, Object)]
struct TraceRow {
    id: i64,
    /// Values of the hook's columns.
    values: BTreeMap<String, Value>,
    created_at: String,
    /// Whether the table still shows this row.
    current: bool,
    /// The run that replaced the row.
    superseded_by: Option<String>,
}

/// The run that computed the row.
#[derive(Debug, Object)]
struct TraceRun {
    id: String,
    status: String,
    started_at: String,
    finished_at: String,
    duration_s: f64,
    oom_retries: u32,
    worker: String,
    /// Number of the release's location that the image was read from, from 1.
    location: u32,
    /// That location.
    image: String,
}

/// The release that ran.
#[derive(Debug, Object)]
struct TraceRelease {
    id: String,
    hook_name: String,
    version: u32,
    /// The location of the image that is in use now.
    image: String,
    /// Every location of the image, in order: the last one is in use.
    locations: Vec<WireLocation>,
    digest: String,
    config: BTreeMap<String, Value>,
    limits: WireLimits,
    /// The commit it was built from.
    source_ref: String,
    built_by: Who,
    built_at: String,
    /// Whether this release is live now.
    live: bool,
    /// The version that is live now.
    live_version: Option<u32>,
    /// Details of the yank; `null` unless the release is yanked.
    yanked: Option<WireYank>,
}

/// The record that the row belongs to.
#[derive(Debug, Object)]
struct TraceRecord {
    id: String,
    srn: String,
    version: u32,
    schema_id: String,
    metadata: Value,
    created_at: String,
}

/// Where the record was ingested from.
#[derive(Debug, Object)]
#[oai(rename = "TraceSource")]
struct Source {
    /// Always `ingest`.
    #[oai(rename = "type")]
    kind: String,
    convention_id: String,
    ingest_run_id: String,
    /// Id of the record in its source.
    source_id: String,
    /// Number of the upload in the run.
    upload: i32,
    /// Line number in that upload.
    line: i64,
    batch: Option<i32>,
    /// Who opened the run.
    opened_by: Who,
    /// Who pushed the upload.
    pushed_by: Who,
}

/// The deposition that the record was published from.
#[derive(Debug, Object)]
#[oai(rename = "TraceDeposition")]
struct Deposition {
    srn: String,
    convention_id: String,
    /// Number of the submission that was published, from 1.
    submission: u64,
    submitted_at: String,
    /// Who submitted the deposition.
    owner: Who,
    /// Who approved it, if curation was required.
    curated_by: Option<Who>,
}

/// One delegation of the task.
#[derive(Debug, Object)]
#[oai(rename = "TraceDelegation")]
struct Delegation {
    id: String,
    caller: String,
    callee: String,
    status: String,
    attempt: i64,
    retry_count: i32,
    /// The worker that held it last.
    worker: Option<String>,
    created_at: String,
    updated_at: String,
}

/// The task whose work produced the row.
#[derive(Debug, Object)]
#[oai(rename = "TraceTask")]
struct Task {
    id: String,
    kind: String,
    name: String,
    status: String,
    /// Who requested the task.
    creator: Who,
    created_at: String,
    /// Delegations of the task, in order.
    delegations: Vec<Delegation>,
}

/// Everything that a feature row was derived from.
#[derive(Debug, Object)]
#[oai(rename = "RowTrace")]
pub(crate) struct RowTraceBody {
    row: TraceRow,
    run: TraceRun,
    release: TraceRelease,
    record: TraceRecord,
    /// The ingest, if the record was ingested.
    source: Option<Source>,
    /// The deposition, if the record was deposited.
    deposition: Option<Deposition>,
    task: Option<Task>,
}

impl From<TraceSource> for Source {
    fn from(s: TraceSource) -> Self {
        Self {
            kind: "ingest".to_owned(),
            convention_id: s.convention.into(),
            ingest_run_id: s.run.to_string(),
            source_id: s.source_id.to_string(),
            upload: s.upload,
            line: s.line,
            batch: s.batch,
            opened_by: s.opened_by.into(),
            pushed_by: s.pushed_by.into(),
        }
    }
}

impl From<TraceDelegation> for Delegation {
    fn from(d: TraceDelegation) -> Self {
        Self {
            id: d.id,
            caller: d.caller,
            callee: d.callee,
            status: d.status,
            attempt: d.attempt,
            retry_count: d.retry_count,
            worker: d.worker,
            created_at: model_time(d.created_at),
            updated_at: model_time(d.updated_at),
        }
    }
}

impl From<TraceTask> for Task {
    fn from(t: TraceTask) -> Self {
        Self {
            id: t.id.to_string(),
            kind: t.kind,
            name: t.name,
            status: t.status,
            creator: t.creator.into(),
            created_at: model_time(t.created_at),
            delegations: t.delegations.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<RowTrace> for RowTraceBody {
    fn from(t: RowTrace) -> Self {
        let node = t.record.srn.node.clone();
        let (run, release, record) = (t.run, t.release, t.record);
        Self {
            row: TraceRow {
                id: t.row_id,
                values: t.values.into_iter().collect(),
                created_at: model_time(t.created_at),
                current: t.current,
                superseded_by: t.superseded_by.map(|id| id.to_string()),
            },
            run: TraceRun {
                id: run.id.to_string(),
                status: run.status.as_str().to_owned(),
                started_at: model_time(run.started_at),
                finished_at: model_time(run.finished_at),
                duration_s: run.duration_s,
                oom_retries: run.oom_retries,
                worker: run.worker,
                location: run.location,
                image: release.location_of_run(run.location).image.clone(),
            },
            release: TraceRelease {
                id: release.id.to_string(),
                live: t.live == Some(release.version),
                live_version: t.live.map(domain::ReleaseVersion::get),
                hook_name: release.hook.into(),
                version: release.version.get(),
                image: release.release.image,
                locations: locations(&release.locations),
                digest: release.release.content.digest.to_string(),
                limits: (&release.release.content.limits).into(),
                config: release.release.content.config.into_iter().collect(),
                source_ref: release.release.source_ref,
                built_by: t.built_by.into(),
                built_at: model_time(release.built_at),
                yanked: release.yanked.map(Into::into),
            },
            record: TraceRecord {
                id: record.srn.id.to_string(),
                srn: record.srn.to_string(),
                version: record.srn.version.get(),
                schema_id: record.schema.to_string(),
                metadata: record.metadata,
                created_at: model_time(record.created_at),
            },
            source: t.source.map(Into::into),
            deposition: t.deposition.map(|d| Deposition {
                srn: d.id.srn(&node),
                convention_id: d.convention.into(),
                submission: d.submission,
                submitted_at: model_time(d.submitted_at),
                owner: d.owner.into(),
                curated_by: d.curated_by.map(Into::into),
            }),
            task: t.task.map(Into::into),
        }
    }
}
