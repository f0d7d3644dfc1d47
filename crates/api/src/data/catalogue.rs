//! `/data`: catalogue, manifest, records, feature tables and traces (WC-7).

use std::sync::Arc;

use auth::{Permit, act};
use domain::Invalid;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi, Tags};
use serde_json::Value;

use crate::data::manifest::{Catalogue, Manifest};
use crate::data::record_provenance::RecordProvenance;
use crate::data::table::{
    CsvTable, GzipTable, ParquetTable, RenderedPage, TableParams, TableQuery, TableQueryBody, TableResponse,
    WholeTable,
};
use crate::data::trace::RowTraceBody;
use crate::http::body::Body;
use crate::http::gate::{Gate, anyone};
use crate::http::markdown::Markdown;
use crate::http::problem::Problem;
use crate::http::query_params::QueryParams;
use crate::http::render::model_time;
use crate::services::Services;
use crate::site::schema_description;

#[derive(Tags)]
pub(crate) enum Tag {
    /// The data that the archive holds.
    Data,
}

/// Name of the records table in paths.
const RECORDS: &str = "records";

pub(crate) struct DataApi(pub(crate) Arc<Services>);

/// A record.
#[derive(Debug, Object)]
#[oai(rename = "Record")]
struct RecordBody {
    id: String,
    srn: String,
    schema_id: String,
    version: u32,
    /// Metadata as submitted.
    metadata: Value,
    created_at: String,
}

impl DataApi {
    /// Reads a page of a schema's records.
    async fn page(
        &self,
        permit: &Permit<act::ReadData>,
        schema: &str,
        query: impl TryInto<TableParams, Error = Problem>,
    ) -> Result<RenderedPage, Problem> {
        let params = query.try_into()?;
        let page = params.page(&self.0, permit, schema, RECORDS).await?;
        Ok(page.into())
    }

    /// Streams all records of a schema in the format of the response.
    async fn whole<T: WholeTable>(
        &self,
        permit: &Permit<act::ReadData>,
        schema: &str,
        query: impl TryInto<TableParams, Error = Problem>,
    ) -> Result<T, Problem> {
        let params = query.try_into()?;
        let body = params.whole(&self.0, permit, (schema, RECORDS), T::FORMAT);
        body.await.map(T::from)
    }

    /// Reads a feature table in the format that the suffix of `feature` selects.
    async fn table(
        &self,
        permit: &Permit<act::ReadData>,
        schema: &str,
        feature: &str,
        query: impl TryInto<TableParams, Error = Problem>,
    ) -> Result<TableResponse, Problem> {
        let params = query.try_into()?;
        params.read(&self.0, permit, schema, feature).await
    }
}

#[OpenApi(tag = "Tag::Data")]
impl DataApi {
    /// Get the catalogue: every schema version and its tables.
    #[oai(path = "/data", method = "get", operation_id = "getCatalogue")]
    async fn catalogue(&self, Gate(permit): Gate<act::ReadData>) -> Result<Json<Catalogue>, Problem> {
        let entries = self.0.data.read_data.catalogue(&permit).await?;
        Ok(Json(Catalogue::new(self.0.data.read_data.node(), entries)))
    }

    /// Get the manifest of a schema: its fields, tables, columns and counts.
    ///
    /// `{schema}` is `id` (every version of the newest major) or `id@version` (exactly one version). Each table's count
    /// carries the time it was made. `counts=exact` counts again, however long that takes.
    #[oai(path = "/data/:schema", method = "get", operation_id = "getManifest")]
    async fn manifest(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        counts: Query<Option<String>>,
    ) -> Result<Json<Manifest>, Problem> {
        let exact = match counts.0.as_deref() {
            None | Some("") => false,
            Some("exact") => true,
            Some(_) => {
                return Err(crate::http::query::refused(
                    "counts",
                    Invalid::value("must be exact or absent"),
                ));
            }
        };
        let manifest = self.0.data.read_data.manifest(&permit, &schema.0, exact).await?;
        Ok(Json(Manifest::new(self.0.data.read_data.node(), manifest)))
    }

    /// Get the Markdown description of a schema: its subject, tables, columns and how to query them.
    /// `/data/{schema}.md` is an alias.
    #[oai(
        path = "/data/:schema/description.md",
        method = "get",
        operation_id = "getDescription"
    )]
    async fn description(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
    ) -> Result<Markdown, Problem> {
        schema_description(&self.0, &permit, &schema.0)
            .await
            .map(Markdown)
    }

    /// Get a record: `{id}` for the newest version, or `{id}@{n}` for version n.
    #[oai(path = "/data/records/:id", method = "get", operation_id = "getRecord")]
    async fn record(
        &self,
        Gate(permit): Gate<act::ReadData>,
        id: Path<String>,
    ) -> Result<Json<RecordBody>, Problem> {
        let record = self.0.data.read_data.record(&permit, &id.0).await?;
        Ok(Json(RecordBody {
            id: record.srn.id.to_string(),
            srn: record.srn.to_string(),
            schema_id: record.schema.to_string(),
            version: record.srn.version.get(),
            metadata: record.metadata,
            created_at: model_time(record.created_at),
        }))
    }

    /// Get the provenance of a record and of everything computed for it.
    #[oai(
        path = "/data/records/:id/provenance",
        method = "get",
        operation_id = "getRecordProvenance"
    )]
    async fn record_provenance(
        &self,
        Gate(permit): Gate<act::ReadProvenance>,
        id: Path<String>,
    ) -> Result<Json<RecordProvenance>, Problem> {
        let lineage = self
            .0
            .data
            .read_lineage
            .record(&permit, &anyone()?, &id.0)
            .await?;
        Ok(Json((&lineage).into()))
    }

    /// List a page of a schema's records, newest first unless sorted.
    ///
    /// `filter` is a filter as JSON. `as_of` reads the data that was current at that time.
    #[oai(
        path = "/data/:schema/records",
        method = "get",
        operation_id = "records_get_json"
    )]
    async fn records_get_json(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        query: QueryParams<TableQuery>,
    ) -> Result<RenderedPage, Problem> {
        self.page(&permit, &schema, query.0).await
    }

    /// List a page of a schema's records, newest first unless sorted, with the query in the body.
    #[oai(
        path = "/data/:schema/records",
        method = "post",
        operation_id = "records_post_json"
    )]
    async fn records_post_json(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        query: Body<TableQueryBody>,
    ) -> Result<RenderedPage, Problem> {
        self.page(&permit, &schema, query.0).await
    }

    /// Export a schema's records as CSV.
    #[oai(
        path = "/data/:schema/records.csv",
        method = "get",
        operation_id = "records_get_csv"
    )]
    async fn records_get_csv(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        query: QueryParams<TableQuery>,
    ) -> Result<CsvTable, Problem> {
        self.whole(&permit, &schema, query.0).await
    }

    /// Export a schema's records as CSV, with the query in the body.
    #[oai(
        path = "/data/:schema/records.csv",
        method = "post",
        operation_id = "records_post_csv"
    )]
    async fn records_post_csv(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        query: Body<TableQueryBody>,
    ) -> Result<CsvTable, Problem> {
        self.whole(&permit, &schema, query.0).await
    }

    /// Export a schema's records as gzip-compressed CSV.
    #[oai(
        path = "/data/:schema/records.csv.gz",
        method = "get",
        operation_id = "records_get_csv_gz"
    )]
    async fn records_get_csv_gz(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        query: QueryParams<TableQuery>,
    ) -> Result<GzipTable, Problem> {
        self.whole(&permit, &schema, query.0).await
    }

    /// Export a schema's records as gzip-compressed CSV, with the query in the body.
    #[oai(
        path = "/data/:schema/records.csv.gz",
        method = "post",
        operation_id = "records_post_csv_gz"
    )]
    async fn records_post_csv_gz(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        query: Body<TableQueryBody>,
    ) -> Result<GzipTable, Problem> {
        self.whole(&permit, &schema, query.0).await
    }

    /// Export a schema's records as Parquet.
    #[oai(
        path = "/data/:schema/records.parquet",
        method = "get",
        operation_id = "records_get_parquet"
    )]
    async fn records_get_parquet(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        query: QueryParams<TableQuery>,
    ) -> Result<ParquetTable, Problem> {
        self.whole(&permit, &schema, query.0).await
    }

    /// Export a schema's records as Parquet, with the query in the body.
    #[oai(
        path = "/data/:schema/records.parquet",
        method = "post",
        operation_id = "records_post_parquet"
    )]
    async fn records_post_parquet(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        query: Body<TableQueryBody>,
    ) -> Result<ParquetTable, Problem> {
        self.whole(&permit, &schema, query.0).await
    }

    /// List a page of a feature table, by row id unless sorted. With the suffix `.csv`, `.csv.gz` or `.parquet`: export
    /// the whole table.
    #[oai(path = "/data/:schema/:feature", method = "get", operation_id = "feature_get")]
    async fn feature_get(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        feature: Path<String>,
        query: QueryParams<TableQuery>,
    ) -> Result<TableResponse, Problem> {
        self.table(&permit, &schema, &feature, query.0).await
    }

    /// Query a feature table with the query in the body. The suffixes are those of GET.
    #[oai(
        path = "/data/:schema/:feature",
        method = "post",
        operation_id = "feature_post"
    )]
    async fn feature_post(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        feature: Path<String>,
        query: Body<TableQueryBody>,
    ) -> Result<TableResponse, Problem> {
        self.table(&permit, &schema, &feature, query.0).await
    }

    /// Trace a feature row to everything it was derived from.
    #[oai(
        path = "/data/:schema/:feature/rows/:row_id/trace",
        method = "get",
        operation_id = "traceRow"
    )]
    async fn trace(
        &self,
        Gate(permit): Gate<act::ReadProvenance>,
        schema: Path<String>,
        feature: Path<String>,
        row_id: Path<String>,
    ) -> Result<Json<RowTraceBody>, Problem> {
        let row = crate::http::query::row_id(&row_id.0)?;
        Ok(Json(
            self.0
                .data
                .read_provenance
                .trace(permit, &schema.0, &feature.0, row)
                .await?
                .into(),
        ))
    }
}
