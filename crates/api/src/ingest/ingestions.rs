//! `/ingestions`: opening, pushing to, closing and reading ingest runs (WC-1.4; push mode is our extension).

use std::sync::Arc;

use app::ingest::open_ingestion::OpenIngestionRequest;
use app::views::ReasonCount;
use auth::act;
use domain::ingest::run::ingest_run_srn;
use domain::{ConventionSlug, IngestMode, Invalid};
use poem::Request;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi};

use crate::http::body::Body;
use crate::http::client::Client;
use crate::http::gate::Gate;
use crate::http::problem::{Problem, path};
use crate::http::query::{Limit, page_size, refused_body};
use crate::http::query_params::QueryParams;
use crate::http::render::{iso_time, model_time};
use crate::ingest::push::{PushBody, PushQuery, Pushed};
use crate::ingest::wire::{IngestRecordList, PAGE, RunSummary, Tag};
use crate::services::Services;

pub(crate) struct IngestionsApi(pub(crate) Arc<Services>);

/// Origin of an ingest run's records.
#[derive(Clone, Copy, Debug, Enum)]
#[oai(rename = "IngestMode", rename_all = "snake_case")]
enum Mode {
    /// The client pushes the records.
    Push,
    /// The server pulls from the convention's ingester.
    Pull,
}

/// `POST /ingestions`.
#[derive(Debug, Object)]
#[oai(rename = "OpenIngestionBody")]
struct OpenBody {
    /// Slug of the convention.
    convention_id: String,
    /// Mode of the run (default `pull`).
    mode: Option<Mode>,
    /// Number of records per batch (1–10000, default 1000).
    batch_size: Option<i64>,
    /// Maximum number of records of the run; only for `pull`.
    limit: Option<i64>,
    /// Pulls only what changed after this time (`OSA_SINCE`); only for `pull`.
    since: Option<String>,
}

/// An opened ingest run.
#[derive(Debug, Object)]
#[oai(rename = "OpenedIngestRun")]
struct OpenedRun {
    srn: String,
    /// Id of the run, for the paths below `/ingestions`.
    id: String,
    convention_id: String,
    mode: String,
    status: String,
    started_at: String,
}

#[derive(Debug, ApiResponse)]
enum OpenResponse {
    /// Opened.
    #[oai(status = 201)]
    Created(Json<OpenedRun>),
}

/// The newest ingest runs.
#[derive(Debug, Object)]
#[oai(rename = "IngestRunList")]
struct RunList {
    items: Vec<RunSummary>,
}

/// Number of records refused for one reason.
#[derive(Debug, Object)]
#[oai(rename = "RefusalReason")]
struct Reason {
    /// `rejected` or `errored`.
    outcome: String,
    /// The hook that decided the outcome; `null` if none did, because the batch failed or the run was cancelled.
    hook_name: Option<String>,
    reason: String,
    records: u64,
}

/// An ingest run with its settings and reasons.
#[derive(Debug, Object)]
#[oai(rename = "IngestRun")]
struct RunDetail {
    #[oai(flatten)]
    run: RunSummary,
    batch_size: u32,
    limit: Option<u64>,
    schema_id: String,
    /// The run pulls only what changed after this time.
    since: Option<String>,
    /// Scheduled time of the convention that triggered the run.
    scheduled_for: Option<String>,
    /// Reasons for refused records, most frequent first, at most 100.
    reasons: Vec<Reason>,
}

#[OpenApi(tag = "Tag::Ingestions")]
impl IngestionsApi {
    /// Open an ingest run.
    ///
    /// A convention has at most one active run.
    #[oai(path = "/ingestions", method = "post", operation_id = "openIngestion")]
    async fn open(
        &self,
        Gate(permit): Gate<act::WriteIngestions>,
        body: Body<OpenBody>,
    ) -> Result<OpenResponse, Problem> {
        let body = body.0;
        let convention: ConventionSlug = body
            .convention_id
            .parse()
            .map_err(|e: Invalid| Problem::invalid(&e.of_field("convention_id"), "body"))?;
        let mode = match body.mode {
            Some(Mode::Push) => IngestMode::Push,
            Some(Mode::Pull) | None => IngestMode::Pull,
        };
        let since = match body.since.as_deref() {
            None => None,
            Some(text) => Some(domain::data::cell::parse_timestamp(text).ok_or_else(|| {
                refused_body(
                    "since",
                    Invalid::value("must be a time such as 2026-01-31T12:00:00Z"),
                )
            })?),
        };
        let request = OpenIngestionRequest {
            convention,
            mode,
            batch_size: body.batch_size,
            limit: body.limit,
            since,
        };
        let run = self.0.ingest.open_ingestion.run(permit, request).await?;
        Ok(OpenResponse::Created(Json(OpenedRun {
            srn: ingest_run_srn(&self.0.node.domain, run.id),
            id: run.id.to_string(),
            convention_id: run.convention.to_string(),
            mode: run.mode.as_str().to_owned(),
            status: run.status.as_str().to_owned(),
            started_at: iso_time(run.started_at),
        })))
    }

    /// Push records into an open run.
    ///
    /// May be called repeatedly. Invalid lines are reported by number and do not fail the rest; the run keeps them, see
    /// `/ingestions/{id}/refusals`. Repeated lines change nothing, so a client can retry an interrupted push with the
    /// same body.
    #[oai(
        path = "/ingestions/:id/records",
        method = "post",
        operation_id = "pushRecords"
    )]
    async fn push(
        &self,
        Gate(permit): Gate<act::WriteIngestions>,
        id: Path<String>,
        query: QueryParams<PushQuery>,
        request: &Request,
        body: PushBody,
    ) -> Result<Json<Pushed>, Problem> {
        let run = path("id", &id.0)?;
        let dry_run = query.0.dry_run.unwrap_or(false);
        let (format, body) = body.read_as(query.0, request)?;
        let stream = Box::pin(body.into_bytes_stream());
        let client = Client::named(request);
        Ok(Json(
            self.0
                .ingest
                .push_records
                .run(permit, run, format, dry_run, client, stream)
                .await?
                .into(),
        ))
    }

    /// List the records of a run in order of arrival, each with its outcome and reason.
    #[oai(
        path = "/ingestions/:id/records",
        method = "get",
        operation_id = "listIngestRecords"
    )]
    async fn records(
        &self,
        Gate(permit): Gate<act::ReadIngestions>,
        id: Path<String>,
        /// Only records with this outcome: `published`, `unchanged`, `rejected` or `errored`.
        outcome: Query<Option<String>>,
        /// `next_cursor` of the previous page.
        cursor: Query<Option<String>>,
        /// Maximum number of records per page (1–1000, default 50).
        limit: Query<Option<Limit>>,
    ) -> Result<Json<IngestRecordList>, Problem> {
        let run = path("id", &id.0)?;
        let most = page_size(limit.0, PAGE);
        let read = &self.0.ingest.read_ingest_detail;
        let page = read
            .records(permit, run, outcome.0.as_deref(), cursor.0.as_deref(), most)
            .await
            .map_err(|e| Problem::of_error(&e, "query"))?;
        Ok(Json(IngestRecordList {
            items: page.items.into_iter().map(Into::into).collect(),
            next_cursor: page.next,
        }))
    }

    /// Close a run. It accepts no more records.
    #[oai(
        path = "/ingestions/:id/close",
        method = "post",
        operation_id = "closeIngestion"
    )]
    async fn close(
        &self,
        Gate(permit): Gate<act::WriteIngestions>,
        id: Path<String>,
    ) -> Result<Json<RunSummary>, Problem> {
        let run = path("id", &id.0)?;
        Ok(Json(
            (&self.0.ingest.close_ingestion.run(permit, run).await?).into(),
        ))
    }

    /// List the newest 50 runs.
    #[oai(path = "/ingestions", method = "get", operation_id = "listIngestions")]
    async fn list(&self, Gate(permit): Gate<act::ReadIngestions>) -> Result<Json<RunList>, Problem> {
        Ok(Json(RunList {
            items: self
                .0
                .ingest
                .read_ingestions
                .list(permit)
                .await?
                .iter()
                .map(Into::into)
                .collect(),
        }))
    }

    /// Get a run.
    #[oai(path = "/ingestions/:id", method = "get", operation_id = "getIngestion")]
    async fn get(
        &self,
        Gate(permit): Gate<act::ReadIngestions>,
        id: Path<String>,
    ) -> Result<Json<RunDetail>, Problem> {
        let run = path("id", &id.0)?;
        let (run, reasons) = self.0.ingest.read_ingestions.get(permit, run).await?;
        let reason = |r: ReasonCount| Reason {
            outcome: r.outcome,
            hook_name: r.hook,
            reason: r.reason,
            records: r.records,
        };
        Ok(Json(RunDetail {
            run: (&run).into(),
            batch_size: run.batch_size,
            limit: run.limit,
            schema_id: run.schema.to_string(),
            since: run.since.map(model_time),
            scheduled_for: run.scheduled_for.map(model_time),
            reasons: reasons.into_iter().map(reason).collect(),
        }))
    }
}
