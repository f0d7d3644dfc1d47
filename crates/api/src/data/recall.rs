//! `/hooks/{name}/releases/{version}/recall`, `/rows` and `/records`: the output of a release (PRV-7).

use std::sync::Arc;

use app::data::{RecallFilter, RecallOf, RecallSummary};
use auth::{Permit, act};
use domain::data::page::clamp_limit;
use domain::{HookName, Invalid};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use crate::data::table::{CsvTable, RenderedPage, WholeTable as _, moment, whole};
use crate::http::gate::Gate;
use crate::http::problem::{Problem, path};
use crate::http::query::{Limit, refused};
use crate::http::query_params::{QueryParams, query_params};
use crate::http::render::model_time;
use crate::registry::hooks::{Tag, version};
use crate::services::Services;

pub(crate) struct RecallApi(pub(crate) Arc<Services>);

/// Counts of a release's output.
#[derive(Debug, Object)]
struct RecallBody {
    hook_name: String,
    version: u32,
    release_id: String,
    digest: String,
    source_ref: String,
    /// Number of runs that produced rows.
    runs: u64,
    /// Number of rows that these runs produced.
    rows: u64,
    /// Number of these rows that have been superseded since.
    superseded_rows: u64,
    /// Number of distinct records that have these rows.
    records: u64,
    /// When the first of these rows was written.
    first_created_at: Option<String>,
    /// When the last of these rows was written.
    last_created_at: Option<String>,
}

impl From<RecallSummary> for RecallBody {
    fn from(summary: RecallSummary) -> Self {
        let (release, counts) = (summary.release, summary.counts);
        Self {
            hook_name: release.hook.into(),
            version: release.version.get(),
            release_id: release.id.to_string(),
            digest: release.release.content.digest.to_string(),
            source_ref: release.release.source_ref,
            runs: counts.runs,
            rows: counts.rows,
            superseded_rows: counts.superseded,
            records: counts.records,
            first_created_at: counts.first_at.map(model_time),
            last_created_at: counts.last_at.map(model_time),
        }
    }
}

query_params! {
    /// Selects from the output of a release.
    struct RecallQuery {
        run: Option<String>,
        since: Option<String>,
        until: Option<String>,
        current: Option<String>,
    }
}

query_params! {
    /// Selects a page of the output of a release.
    struct PageQuery {
        cursor: Option<String>,
        limit: Option<Limit>,
    }
}

/// Validated parameters that select from the output of a release.
struct RecallParams {
    hook: HookName,
    version: u32,
    filter: RecallFilter,
}

impl RecallParams {
    fn new((name, number): (&str, &str), query: RecallQuery) -> Result<Self, Problem> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let run = given(query.run)
            .map(|text| text.parse().map_err(|e: Invalid| refused("run", e)))
            .transpose()?;
        let since = given(query.since)
            .map(|text| moment("since", &text))
            .transpose()?;
        let until = given(query.until)
            .map(|text| moment("until", &text))
            .transpose()?;
        let current = match query.current.as_deref() {
            None | Some("" | "false") => false,
            Some("true") => true,
            Some(_) => return Err(refused("current", Invalid::value("must be true or false"))),
        };
        Ok(Self {
            hook: path("name", name)?,
            version: version(number)?,
            filter: RecallFilter {
                run,
                since,
                until,
                current,
            },
        })
    }
}

impl RecallApi {
    async fn page(
        &self,
        permit: Permit<act::ReadData>,
        of: RecallOf,
        release: (&str, &str),
        query: RecallQuery,
        page: PageQuery,
    ) -> Result<RenderedPage, Problem> {
        let chosen = RecallParams::new(release, query)?;
        let cursor = page.cursor.filter(|text| !text.is_empty());
        let page = self
            .0
            .data
            .recall
            .page(
                permit,
                (&chosen.hook, chosen.version),
                of,
                &chosen.filter,
                cursor.as_deref(),
                clamp_limit(page.limit.map(|Limit(number)| number)),
            )
            .await?;
        Ok(page.into())
    }

    async fn csv(
        &self,
        permit: Permit<act::ReadData>,
        of: RecallOf,
        release: (&str, &str),
        query: RecallQuery,
    ) -> Result<CsvTable, Problem> {
        let chosen = RecallParams::new(release, query)?;
        let (columns, rows) = self
            .0
            .data
            .recall
            .stream(permit, (&chosen.hook, chosen.version), of, &chosen.filter)
            .await?;
        whole(CsvTable::FORMAT, &columns, rows, &self.0.stream_threads).map(CsvTable::from)
    }
}

#[OpenApi(tag = "Tag::Hooks")]
impl RecallApi {
    /// Count the output of a release: its runs, their rows, and the records that the rows belong to.
    ///
    /// `run`, `since`, `until` and `current=true` filter the counts, here and in the lists: one run, rows written at or
    /// after `since` and before `until`, and rows that tables show now.
    #[oai(
        path = "/hooks/:name/releases/:version/recall",
        method = "get",
        operation_id = "recallRelease"
    )]
    async fn summary(
        &self,
        Gate(permit): Gate<act::ReadData>,
        name: Path<String>,
        version: Path<String>,
        query: QueryParams<RecallQuery>,
    ) -> Result<Json<RecallBody>, Problem> {
        let chosen = RecallParams::new((&name, &version), query.0)?;
        let summary = self
            .0
            .data
            .recall
            .summary(permit, &chosen.hook, chosen.version, &chosen.filter)
            .await?;
        Ok(Json(summary.into()))
    }

    /// List the rows that a release produced, by run and row, for all schemas. Superseded rows are included.
    #[oai(
        path = "/hooks/:name/releases/:version/rows",
        method = "get",
        operation_id = "recallRows"
    )]
    async fn rows(
        &self,
        Gate(permit): Gate<act::ReadData>,
        name: Path<String>,
        version: Path<String>,
        query: QueryParams<RecallQuery>,
        page: QueryParams<PageQuery>,
    ) -> Result<RenderedPage, Problem> {
        self.page(permit, RecallOf::Rows, (&name, &version), query.0, page.0)
            .await
    }

    /// Export all rows that a release produced as CSV.
    #[oai(
        path = "/hooks/:name/releases/:version/rows.csv",
        method = "get",
        operation_id = "recallRowsCsv"
    )]
    async fn rows_csv(
        &self,
        Gate(permit): Gate<act::ReadData>,
        name: Path<String>,
        version: Path<String>,
        query: QueryParams<RecallQuery>,
    ) -> Result<CsvTable, Problem> {
        self.csv(permit, RecallOf::Rows, (&name, &version), query.0).await
    }

    /// List the records for which a release produced rows, once per run.
    #[oai(
        path = "/hooks/:name/releases/:version/records",
        method = "get",
        operation_id = "recallRecords"
    )]
    async fn records(
        &self,
        Gate(permit): Gate<act::ReadData>,
        name: Path<String>,
        version: Path<String>,
        query: QueryParams<RecallQuery>,
        page: QueryParams<PageQuery>,
    ) -> Result<RenderedPage, Problem> {
        self.page(permit, RecallOf::Records, (&name, &version), query.0, page.0)
            .await
    }

    /// Export all records for which a release produced rows as CSV.
    #[oai(
        path = "/hooks/:name/releases/:version/records.csv",
        method = "get",
        operation_id = "recallRecordsCsv"
    )]
    async fn records_csv(
        &self,
        Gate(permit): Gate<act::ReadData>,
        name: Path<String>,
        version: Path<String>,
        query: QueryParams<RecallQuery>,
    ) -> Result<CsvTable, Problem> {
        self.csv(permit, RecallOf::Records, (&name, &version), query.0)
            .await
    }
}
