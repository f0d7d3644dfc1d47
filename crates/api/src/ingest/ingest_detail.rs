//! Below `/ingestions/{id}`: cancellation, and the results of batches, lines and pulls.

use std::sync::Arc;

use app::views::{BatchHook, BatchView, PullView, RefusedLineView};
use auth::act;
use domain::{Convention, Invalid};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use crate::http::body::Body;
use crate::http::gate::Gate;
use crate::http::problem::{Problem, path};
use crate::http::query::{Limit, bounded, page_size};
use crate::http::render::{LogText, model_time};
use crate::ingest::refusals::IngestRefusalList;
use crate::ingest::wire::{PAGE, RunSummary, Tag};
use crate::ledger::tasks::{CancelBody, MAX_REASON};
use crate::registry::hook_runs::RunDetail;
use crate::services::Services;

pub(crate) struct IngestDetailApi(pub(crate) Arc<Services>);

/// One hook of a batch.
#[derive(Debug, Object)]
#[oai(rename = "BatchHook")]
struct Hook {
    hook_name: String,
    run_id: String,
    /// The release pinned at the start of the batch.
    release_id: String,
    version: u32,
    /// Result of the hook; `null` until the batch is done.
    run: Option<RunDetail>,
}

impl From<BatchHook> for Hook {
    fn from(hook: BatchHook) -> Self {
        Self {
            hook_name: hook.hook.into(),
            run_id: hook.run.to_string(),
            release_id: hook.release.to_string(),
            version: hook.version.get(),
            run: hook.outcome.map(Into::into),
        }
    }
}

/// A batch of an ingest run.
#[derive(Debug, Object)]
#[oai(rename = "IngestBatch")]
struct Batch {
    /// Number in the run, from 0.
    batch: u32,
    task_id: String,
    /// `queued`, `completed` or `failed`.
    status: String,
    records: u64,
    published_count: u64,
    rejected_count: u64,
    errored_count: u64,
    /// Hooks in execution order; empty before the batch starts.
    hooks: Vec<Hook>,
}

impl From<BatchView> for Batch {
    fn from(batch: BatchView) -> Self {
        Self {
            batch: batch.batch,
            task_id: batch.task.to_string(),
            status: batch.status,
            records: batch.records,
            published_count: batch.published,
            rejected_count: batch.rejected,
            errored_count: batch.errored,
            hooks: batch.hooks.into_iter().map(Into::into).collect(),
        }
    }
}

/// A page of batches.
#[derive(Debug, Object)]
struct IngestBatchList {
    items: Vec<Batch>,
    next_cursor: Option<String>,
}

/// One call of the ingester.
#[derive(Debug, Object)]
#[oai(rename = "IngestPull")]
struct Pull {
    /// Number in the run, from 0.
    pull: u64,
    task_id: String,
    /// Number of records that the ingester returned.
    records: u64,
    /// Number of lines that were not valid records.
    refused: u64,
    failure_kind: Option<String>,
    failure_reason: Option<String>,
    has_logs: bool,
    image: String,
    digest: String,
    source_ref: String,
    duration_s: f64,
    finished_at: String,
}

impl From<PullView> for Pull {
    fn from(pull: PullView) -> Self {
        let [image, digest, source_ref] = pull.image;
        let (failure_kind, failure_reason) = pull.failure.unzip();
        Self {
            pull: pull.pull,
            task_id: pull.task.to_string(),
            records: pull.records,
            refused: pull.refused,
            failure_kind,
            failure_reason,
            has_logs: pull.log_ref.is_some(),
            image,
            digest,
            source_ref,
            duration_s: pull.duration_s,
            finished_at: model_time(pull.finished_at),
        }
    }
}

/// A page of pulls.
#[derive(Debug, Object)]
struct IngestPullList {
    items: Vec<Pull>,
    next_cursor: Option<String>,
}

/// A line of a pull that was not a valid record.
#[derive(Debug, Object)]
struct PullRefusal {
    /// Line number in `records.jsonl`, from 1.
    line: u64,
    source_id: Option<String>,
    reason: String,
}

impl From<RefusedLineView> for PullRefusal {
    fn from(line: RefusedLineView) -> Self {
        Self {
            line: line.line,
            source_id: line.source_id,
            reason: line.reason,
        }
    }
}

/// A pull with its invalid lines.
#[derive(Debug, Object)]
#[oai(rename = "IngestPullDetail")]
struct PullDetail {
    #[oai(flatten)]
    pull: Pull,
    /// The first 1000 invalid lines, each with its reason.
    refused_lines: Vec<PullRefusal>,
}

/// A convention's ingester.
#[derive(Debug, Object)]
#[oai(rename = "IngesterSummary")]
struct IngesterSummary {
    /// Slug of the convention.
    name: String,
    title: String,
    description: String,
    schema_id: String,
    image: String,
    digest: String,
    source_ref: Option<String>,
    /// Schedule of automatic runs: a cron expression, in UTC.
    schedule: Option<String>,
}

/// The ingesters of all conventions, newest convention first.
#[derive(Debug, Object)]
struct IngesterList {
    items: Vec<IngesterSummary>,
}

fn number(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| {
        let rule = Invalid::typed("int_parsing", "must be a non-negative integer");
        Problem::invalid(&rule.of_field("pull"), "path")
    })
}

#[OpenApi(tag = "Tag::Ingestions")]
impl IngestDetailApi {
    /// List ingesters.
    #[oai(path = "/ingesters", method = "get", operation_id = "listIngesters")]
    async fn ingesters(&self, Gate(permit): Gate<act::ReadIngesters>) -> Result<Json<IngesterList>, Problem> {
        let summary = |convention: Convention| {
            let ingester = convention.ingester?;
            Some(IngesterSummary {
                name: convention.slug.into(),
                title: convention.title,
                description: convention.description,
                schema_id: convention.schema.to_string(),
                image: ingester.image,
                digest: ingester.digest,
                source_ref: Some(ingester.source_ref),
                schedule: ingester.schedule.map(|schedule| schedule.cron),
            })
        };
        let found = self.0.registry.read_conventions.with_ingester(permit).await?;
        Ok(Json(IngesterList {
            items: found.into_iter().filter_map(summary).collect(),
        }))
    }

    /// Cancel a run. Published records stay; records without an outcome are marked as errored.
    #[oai(
        path = "/ingestions/:id/cancel",
        method = "post",
        operation_id = "cancelIngestion"
    )]
    async fn cancel(
        &self,
        Gate(permit): Gate<act::WriteIngestions>,
        id: Path<String>,
        body: Body<CancelBody>,
    ) -> Result<Json<RunSummary>, Problem> {
        let run = path("id", &id.0)?;
        let reason = bounded("reason", body.0.reason, MAX_REASON)?;
        let cancelled = self
            .0
            .ingest
            .cancel_ingestion
            .run(permit, run, reason.as_deref())
            .await?;
        Ok(Json((&cancelled).into()))
    }

    /// List the batches of a run, each with the results of its hooks.
    #[oai(
        path = "/ingestions/:id/batches",
        method = "get",
        operation_id = "listIngestBatches"
    )]
    async fn batches(
        &self,
        Gate(permit): Gate<act::ReadIngestions>,
        id: Path<String>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
        /// Maximum number of batches per page (1–1000, default 50).
        limit: Query<Option<Limit>>,
    ) -> Result<Json<IngestBatchList>, Problem> {
        let run = path("id", &id.0)?;
        let most = page_size(limit.0, PAGE);
        let read = &self.0.ingest.read_ingest_detail;
        let page = read.batches(permit, run, cursor.0.as_deref(), most).await?;
        Ok(Json(IngestBatchList {
            items: page.items.into_iter().map(Into::into).collect(),
            next_cursor: page.next,
        }))
    }

    /// List the lines of a run that were refused, each with its faults.
    ///
    /// These are lines of its pushes, or of its ingester's pulls, that are no records of the run. Records that a hook
    /// rejected are listed with the records. A line that is pushed again is listed once, if it has the same number.
    #[oai(
        path = "/ingestions/:id/refusals",
        method = "get",
        operation_id = "listIngestRefusals"
    )]
    async fn refusals(
        &self,
        Gate(permit): Gate<act::ReadIngestions>,
        id: Path<String>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
        /// Maximum number of lines per page (1–1000, default 50).
        limit: Query<Option<Limit>>,
    ) -> Result<Json<IngestRefusalList>, Problem> {
        let run = path("id", &id.0)?;
        let most = page_size(limit.0, PAGE);
        let read = &self.0.ingest.read_ingest_detail;
        let found = read
            .refusals(permit, run, cursor.0.as_deref(), most)
            .await
            .map_err(|e| Problem::of_error(&e, "query"))?;
        Ok(Json(found.into()))
    }

    /// List the pulls of a run: each call of the ingester and its result.
    #[oai(
        path = "/ingestions/:id/pulls",
        method = "get",
        operation_id = "listIngestPulls"
    )]
    async fn pulls(
        &self,
        Gate(permit): Gate<act::ReadIngestions>,
        id: Path<String>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
        /// Maximum number of pulls per page (1–1000, default 50).
        limit: Query<Option<Limit>>,
    ) -> Result<Json<IngestPullList>, Problem> {
        let run = path("id", &id.0)?;
        let most = page_size(limit.0, PAGE);
        let read = &self.0.ingest.read_ingest_detail;
        let page = read.pulls(permit, run, cursor.0.as_deref(), most).await?;
        Ok(Json(IngestPullList {
            items: page.items.into_iter().map(Into::into).collect(),
            next_cursor: page.next,
        }))
    }

    /// Get a pull with its invalid lines.
    #[oai(
        path = "/ingestions/:id/pulls/:pull",
        method = "get",
        operation_id = "getIngestPull"
    )]
    async fn pull(
        &self,
        Gate(permit): Gate<act::ReadIngestions>,
        id: Path<String>,
        /// Number of the pull in the run, from 0.
        pull: Path<String>,
    ) -> Result<Json<PullDetail>, Problem> {
        let run = path("id", &id.0)?;
        let read = &self.0.ingest.read_ingest_detail;
        let (pull, lines) = read.pull(permit, run, number(&pull.0)?).await?;
        Ok(Json(PullDetail {
            pull: pull.into(),
            refused_lines: lines.into_iter().map(Into::into).collect(),
        }))
    }

    /// Get the output of the ingester in a failed pull. For admins and the user or service account that opened the run.
    #[oai(
        path = "/ingestions/:id/pulls/:pull/logs",
        method = "get",
        operation_id = "getIngestPullLogs"
    )]
    async fn pull_logs(
        &self,
        Gate(permit): Gate<act::ReadRunLogs>,
        id: Path<String>,
        /// Number of the pull in the run, from 0.
        pull: Path<String>,
    ) -> Result<LogText, Problem> {
        let run = path("id", &id.0)?;
        let read = &self.0.ingest.read_ingest_detail;
        Ok(LogText(read.pull_log(permit, run, number(&pull.0)?).await?))
    }
}
