//! Bodies shared by the operations on ingest runs.

use app::views::{IngestRecordView, IngestRunView};
use poem_openapi::{Object, Tags};

use crate::http::render::model_time;

#[derive(Tags)]
pub(crate) enum Tag {
    /// Ingest runs: pushed or pulled records.
    Ingestions,
}

/// An ingest run.
#[derive(Debug, Object)]
#[oai(rename = "IngestRunSummary")]
pub(crate) struct RunSummary {
    id: String,
    convention_id: String,
    mode: String,
    status: String,
    /// Whether all records have arrived.
    ingestion_finished: bool,
    batches_ingested: u32,
    batches_completed: u32,
    batches_failed: u32,
    /// Number of records that arrived, without repeats.
    received_count: u64,
    /// Number of these records that equal what was published before.
    unchanged_count: u64,
    /// Number of calls of the ingester; only for `pull`.
    pulls: u64,
    /// Number of records that the ingester returned.
    pulled_count: u64,
    /// Number of lines of its pushes or pulls that were refused; `/ingestions/{id}/refusals` states the reasons.
    refused_count: u64,
    published_count: u64,
    rejected_count: u64,
    errored_count: u64,
    started_at: String,
    completed_at: Option<String>,
    failure_reason: Option<String>,
    /// Kind of the failure; `cancelled` if the run was cancelled.
    failure_kind: Option<String>,
}

impl From<&IngestRunView> for RunSummary {
    fn from(run: &IngestRunView) -> Self {
        Self {
            id: run.id.to_string(),
            convention_id: run.convention.to_string(),
            mode: run.mode.as_str().to_owned(),
            status: run.status.as_str().to_owned(),
            ingestion_finished: run.ingestion_finished,
            batches_ingested: run.batches_ingested,
            batches_completed: run.batches_completed,
            batches_failed: run.batches_failed,
            received_count: run.received,
            unchanged_count: run.unchanged,
            pulls: run.pulls,
            pulled_count: run.pulled,
            refused_count: run.refused,
            published_count: run.published,
            rejected_count: run.rejected,
            errored_count: run.errored,
            started_at: model_time(run.started_at),
            completed_at: run.completed_at.map(model_time),
            failure_reason: run.failure_reason.clone(),
            failure_kind: run.failure_kind.clone(),
        }
    }
}

/// Page size: default and maximum.
pub(crate) const PAGE: (u32, u32) = (50, 1000);

/// A record of an ingest run.
#[derive(Debug, Object)]
#[oai(rename = "IngestRecord")]
pub(crate) struct Record {
    source_id: String,
    /// `published`, `unchanged`, `rejected` or `errored`; `null` while the record is pending.
    outcome: Option<String>,
    /// The hook that decided the outcome.
    hook_name: Option<String>,
    reason: Option<String>,
    batch: Option<u32>,
    /// SRN of the record that was published or that this one equals.
    record_srn: Option<String>,
}

impl From<IngestRecordView> for Record {
    fn from(record: IngestRecordView) -> Self {
        Self {
            source_id: record.source_id,
            outcome: record.outcome,
            hook_name: record.hook,
            reason: record.reason,
            batch: record.batch,
            record_srn: record.record_srn,
        }
    }
}

/// A page of records.
#[derive(Debug, Object)]
pub(crate) struct IngestRecordList {
    pub(crate) items: Vec<Record>,
    pub(crate) next_cursor: Option<String>,
}
