//! The provenance of a record on the wire. For each set of its rows: which run of which release produced it, and who
//! requested it.

use std::collections::BTreeMap;

use domain::Actor;
use domain::data::lineage::{Lineage, LineageRecord, LineageRelease, LineageRun, LineageSource, RowSet};
use poem_openapi::Object;
use serde_json::Value;

use crate::data::trace::Who;
use crate::http::render::model_time;

/// The record whose provenance this is.
#[derive(Debug, Object)]
struct ProvenanceRecord {
    id: String,
    srn: String,
    version: u32,
    schema_id: String,
    created_at: String,
    /// SHA-256 of the record's content.
    content_hash: Option<String>,
    /// SRN of the previous version.
    previous: Option<String>,
}

/// Where a record came from.
#[derive(Debug, Object)]
struct ProvenanceSource {
    /// `ingest` or `deposition`.
    #[oai(rename = "type")]
    kind: String,
    convention_id: String,
    ingest_run_id: Option<String>,
    source_id: Option<String>,
    deposition_srn: Option<String>,
    /// Who pushed or submitted the record.
    sent_by: Option<Who>,
    curated_by: Option<Who>,
}

/// The run that produced the rows.
#[derive(Debug, Object)]
struct ProvenanceRun {
    id: String,
    status: String,
    started_at: String,
    finished_at: String,
    oom_retries: u32,
    worker: String,
    task_id: Option<String>,
    /// Who requested the work.
    asked_by: Option<Who>,
}

/// The release that ran.
#[derive(Debug, Object)]
struct ProvenanceRelease {
    id: String,
    version: u32,
    image: String,
    digest: String,
    config: BTreeMap<String, Value>,
    source_ref: String,
    built_by: Who,
    built_at: String,
}

/// Rows of one hook that one run produced for the record.
#[derive(Debug, Object)]
struct ProvenanceRows {
    hook_name: String,
    rows: u64,
    first_row_id: Option<i64>,
    last_row_id: Option<i64>,
    created_at: String,
    /// Whether tables show these rows now.
    current: bool,
    /// The run that replaced these rows.
    superseded_by: Option<String>,
    run: Option<ProvenanceRun>,
    release: Option<ProvenanceRelease>,
}

/// Provenance of a record and of everything computed for it.
#[derive(Debug, Object)]
pub(crate) struct RecordProvenance {
    record: Option<ProvenanceRecord>,
    source: Option<ProvenanceSource>,
    features: Vec<ProvenanceRows>,
}

fn who(lineage: &Lineage, actor: &Actor) -> Who {
    let known = lineage.agents.iter().find(|agent| agent.actor == *actor);
    Who {
        id: actor.to_string(),
        name: known.and_then(|agent| agent.name.clone()),
        authority: known.and_then(|agent| agent.authority.clone()),
    }
}

fn source(lineage: &Lineage, source: &LineageSource) -> ProvenanceSource {
    match source {
        LineageSource::Ingest {
            convention,
            run,
            source_id,
            pushed_by,
        } => ProvenanceSource {
            kind: "ingest".to_owned(),
            convention_id: convention.to_string(),
            ingest_run_id: Some(run.to_string()),
            source_id: Some(source_id.clone()),
            deposition_srn: None,
            sent_by: pushed_by.as_ref().map(|actor| who(lineage, actor)),
            curated_by: None,
        },
        LineageSource::Deposition {
            srn,
            convention,
            owner,
            curated_by,
        } => ProvenanceSource {
            kind: "deposition".to_owned(),
            convention_id: convention.to_string(),
            ingest_run_id: None,
            source_id: None,
            deposition_srn: Some(srn.clone()),
            sent_by: Some(who(lineage, owner)),
            curated_by: curated_by.as_ref().map(|actor| who(lineage, actor)),
        },
    }
}

fn run(lineage: &Lineage, run: &LineageRun) -> ProvenanceRun {
    let task = run
        .task
        .and_then(|id| lineage.tasks.iter().find(|task| task.id == id));
    ProvenanceRun {
        id: run.id.to_string(),
        status: run.status.as_str().to_owned(),
        started_at: model_time(run.started_at),
        finished_at: model_time(run.finished_at),
        oom_retries: run.oom_retries,
        worker: run.worker.clone(),
        task_id: run.task.map(|id| id.to_string()),
        asked_by: task
            .and_then(|task| task.creator.as_ref())
            .map(|actor| who(lineage, actor)),
    }
}

fn release(lineage: &Lineage, release: &LineageRelease) -> ProvenanceRelease {
    ProvenanceRelease {
        id: release.id.to_string(),
        version: release.version.get(),
        image: release.image.clone(),
        digest: release.digest.to_string(),
        config: release.config.clone().into_iter().collect(),
        source_ref: release.source_ref.clone(),
        built_by: who(lineage, &release.built_by),
        built_at: model_time(release.built_at),
    }
}

fn record(record: &LineageRecord) -> ProvenanceRecord {
    let hex = |hash: [u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
    ProvenanceRecord {
        id: record.srn.id.to_string(),
        srn: record.srn.to_string(),
        version: record.srn.version.get(),
        schema_id: record.schema.to_string(),
        created_at: model_time(record.created_at),
        content_hash: record.content_hash.map(hex),
        previous: record.previous.as_ref().map(ToString::to_string),
    }
}

fn rows(lineage: &Lineage, set: &RowSet) -> ProvenanceRows {
    let of_run = lineage.runs.iter().find(|run| run.id == set.run);
    let of_release = of_run.and_then(|run| lineage.releases.iter().find(|r| r.id == run.release));
    ProvenanceRows {
        hook_name: set.hook.to_string(),
        rows: set.count,
        first_row_id: set.first_row,
        last_row_id: set.last_row,
        created_at: model_time(set.created_at),
        current: set.current,
        superseded_by: set.superseded_by.map(|id| id.to_string()),
        run: of_run.map(|of| run(lineage, of)),
        release: of_release.map(|of| release(lineage, of)),
    }
}

impl From<&Lineage> for RecordProvenance {
    fn from(lineage: &Lineage) -> Self {
        let first = lineage.records.first();
        Self {
            record: first.map(record),
            source: first
                .and_then(|record| record.source.as_ref())
                .map(|of| source(lineage, of)),
            features: lineage.row_sets.iter().map(|set| rows(lineage, set)).collect(),
        }
    }
}
