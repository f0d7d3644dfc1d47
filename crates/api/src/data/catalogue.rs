//! `/data`: catalogue, manifest, records, feature tables and traces (WC-7).

use std::sync::Arc;

use auth::act;
use domain::Invalid;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi, Tags};
use serde_json::Value;

use crate::data::manifest::{Catalogue, Manifest};
use crate::data::record_provenance::RecordProvenance;
use crate::data::table::{
    CsvTable, Format, GzipTable, ParquetTable, RenderedPage, TableParams, TableQueryBody, TableResponse,
};
use crate::data::trace::RowTraceBody;
use crate::http::body::Body;
use crate::http::gate::{Gate, anyone};
use crate::http::markdown::Markdown;
use crate::http::problem::Problem;
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
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the query")]
    async fn records_get_json(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        cursor: Query<Option<String>>,
        limit: Query<Option<i64>>,
        sort: Query<Option<String>>,
        filter: Query<Option<String>>,
        as_of: Query<Option<String>>,
    ) -> Result<RenderedPage, Problem> {
        let wanted = TableParams::of_query(filter.0, cursor.0, limit.0, sort.0, as_of.0)?;
        Ok(wanted.page(&self.0, &permit, &schema.0, RECORDS).await?.into())
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
        let wanted = TableParams::of_body(query.0)?;
        Ok(wanted.page(&self.0, &permit, &schema.0, RECORDS).await?.into())
    }

    /// Export a schema's records as CSV.
    #[oai(
        path = "/data/:schema/records.csv",
        method = "get",
        operation_id = "records_get_csv"
    )]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the query")]
    async fn records_get_csv(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        cursor: Query<Option<String>>,
        limit: Query<Option<i64>>,
        sort: Query<Option<String>>,
        filter: Query<Option<String>>,
        as_of: Query<Option<String>>,
    ) -> Result<CsvTable, Problem> {
        let wanted = TableParams::of_query(filter.0, cursor.0, limit.0, sort.0, as_of.0)?;
        wanted
            .whole(&self.0, &permit, (&schema.0, RECORDS), Format::Csv)
            .await
            .map(CsvTable)
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
        let wanted = TableParams::of_body(query.0)?;
        wanted
            .whole(&self.0, &permit, (&schema.0, RECORDS), Format::Csv)
            .await
            .map(CsvTable)
    }

    /// Export a schema's records as gzip-compressed CSV.
    #[oai(
        path = "/data/:schema/records.csv.gz",
        method = "get",
        operation_id = "records_get_csv_gz"
    )]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the query")]
    async fn records_get_csv_gz(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        cursor: Query<Option<String>>,
        limit: Query<Option<i64>>,
        sort: Query<Option<String>>,
        filter: Query<Option<String>>,
        as_of: Query<Option<String>>,
    ) -> Result<GzipTable, Problem> {
        let wanted = TableParams::of_query(filter.0, cursor.0, limit.0, sort.0, as_of.0)?;
        wanted
            .whole(&self.0, &permit, (&schema.0, RECORDS), Format::CsvGz)
            .await
            .map(GzipTable)
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
        let wanted = TableParams::of_body(query.0)?;
        wanted
            .whole(&self.0, &permit, (&schema.0, RECORDS), Format::CsvGz)
            .await
            .map(GzipTable)
    }

    /// Export a schema's records as Parquet.
    #[oai(
        path = "/data/:schema/records.parquet",
        method = "get",
        operation_id = "records_get_parquet"
    )]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the query")]
    async fn records_get_parquet(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        cursor: Query<Option<String>>,
        limit: Query<Option<i64>>,
        sort: Query<Option<String>>,
        filter: Query<Option<String>>,
        as_of: Query<Option<String>>,
    ) -> Result<ParquetTable, Problem> {
        let wanted = TableParams::of_query(filter.0, cursor.0, limit.0, sort.0, as_of.0)?;
        wanted
            .whole(&self.0, &permit, (&schema.0, RECORDS), Format::Parquet)
            .await
            .map(ParquetTable)
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
        let wanted = TableParams::of_body(query.0)?;
        wanted
            .whole(&self.0, &permit, (&schema.0, RECORDS), Format::Parquet)
            .await
            .map(ParquetTable)
    }

    /// List a page of a feature table, by row id unless sorted. With the suffix `.csv`, `.csv.gz` or `.parquet`: export
    /// the whole table.
    #[oai(path = "/data/:schema/:feature", method = "get", operation_id = "feature_get")]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the query")]
    async fn feature_get(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        feature: Path<String>,
        cursor: Query<Option<String>>,
        limit: Query<Option<i64>>,
        sort: Query<Option<String>>,
        filter: Query<Option<String>>,
        as_of: Query<Option<String>>,
    ) -> Result<TableResponse, Problem> {
        let wanted = TableParams::of_query(filter.0, cursor.0, limit.0, sort.0, as_of.0)?;
        wanted.read(&self.0, &permit, &schema.0, &feature.0).await
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
        let wanted = TableParams::of_body(query.0)?;
        wanted.read(&self.0, &permit, &schema.0, &feature.0).await
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
