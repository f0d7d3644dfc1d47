//! `/data`: catalogue, manifest, records, feature tables and traces (wire contract 7).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use app::read_data::{CountedTable, Page};
use app::views::{TableColumn, TableKind};
use auth::{Permit, act};
use domain::page::clamp_limit;
use domain::{Invalid, SchemaRef};
use futures::StreamExt;
use poem::{Body, IntoResponse, Response};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::{Json, Payload};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object, OpenApi, Tags};
use serde_json::Value;

use crate::Services;
use crate::gate::Gate;
use crate::problem::Problem;
use crate::render::{csv_cell, csv_row, json_cell, model_time};
use crate::trace::RowTraceBody;

#[derive(Tags)]
enum Tag {
    /// What the archive holds.
    Data,
}

pub(crate) struct DataApi(pub(crate) Arc<Services>);

/// A table in the catalogue.
#[derive(Debug, Object)]
struct TableResource {
    name: String,
    /// `records` or `feature`.
    kind: String,
}

/// A schema version in the catalogue.
#[derive(Debug, Object)]
struct CatalogueSchema {
    id: String,
    version: String,
    srn: String,
    table_resources: Vec<TableResource>,
}

/// The catalogue.
#[derive(Debug, Object)]
struct Catalogue {
    node_domain: String,
    schemas: Vec<CatalogueSchema>,
}

/// A field of a manifest.
#[derive(Debug, Object)]
struct ManifestField {
    name: String,
    #[oai(rename = "type")]
    field_type: String,
    #[oai(skip_serializing_if_is_none)]
    description: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    unit: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    examples: Option<Vec<String>>,
}

/// A column of a table.
#[derive(Debug, Object)]
struct ManifestColumn {
    name: String,
    #[oai(rename = "type")]
    column_type: String,
    #[oai(skip_serializing_if_is_none)]
    format: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    description: Option<String>,
    #[oai(skip_serializing_if_is_none)]
    unit: Option<String>,
}

/// A table of a manifest.
#[derive(Debug, Object)]
struct ManifestTable {
    name: String,
    /// `records` or `feature`.
    kind: String,
    columns: Vec<ManifestColumn>,
    row_count: u64,
    /// Feature tables: distinct records that have rows.
    #[oai(skip_serializing_if_is_none)]
    records_covered: Option<u64>,
    /// What can follow the table's path: nothing (JSON) or an ending.
    formats: Vec<String>,
}

/// What a schema has to read.
#[derive(Debug, Object)]
struct Manifest {
    id: String,
    version: String,
    srn: String,
    title: String,
    fields: Vec<ManifestField>,
    table_resources: Vec<ManifestTable>,
}

/// A page of a table.
#[derive(Debug, Object)]
#[oai(rename = "Page")]
struct PageBody {
    /// The rows: each an object with the table's columns.
    rows: Vec<BTreeMap<String, Value>>,
    /// Where the next page begins.
    next_cursor: Option<String>,
    has_more: bool,
}

/// A page that is rendered already, with the columns in wire order, which a map of values would not keep.
#[derive(Debug)]
struct RenderedPage(String);

impl Payload for RenderedPage {
    const CONTENT_TYPE: &'static str = "application/json; charset=utf-8";
    fn schema_ref() -> MetaSchemaRef {
        PageBody::schema_ref()
    }
    fn register(registry: &mut Registry) {
        PageBody::register(registry);
    }
}

impl IntoResponse for RenderedPage {
    fn into_response(self) -> Response {
        Response::builder().content_type(Self::CONTENT_TYPE).body(self.0)
    }
}

impl From<Page> for RenderedPage {
    fn from(page: Page) -> Self {
        let mut text = String::from("{\"rows\":[");
        let names: Vec<String> = page
            .columns
            .iter()
            .map(|c| Value::from(c.name.as_str()).to_string())
            .collect();
        for (index, row) in page.rows.iter().enumerate() {
            text.push_str(if index == 0 { "{" } else { ",{" });
            for (at, (name, cell)) in names.iter().zip(row).enumerate() {
                if at > 0 {
                    text.push(',');
                }
                text.push_str(name);
                text.push(':');
                text.push_str(&json_cell(cell).to_string());
            }
            text.push('}');
        }
        let more = page.next_cursor.is_some();
        text.push_str(&format!(
            "],\"next_cursor\":{},\"has_more\":{more}}}",
            page.next_cursor.map_or(Value::Null, Value::String)
        ));
        Self(text)
    }
}

/// A whole table, as a stream.
struct CsvTable(Body);

impl Payload for CsvTable {
    const CONTENT_TYPE: &'static str = "text/csv; charset=utf-8";
    fn schema_ref() -> MetaSchemaRef {
        String::schema_ref()
    }
}

impl IntoResponse for CsvTable {
    fn into_response(self) -> Response {
        Response::builder().content_type(Self::CONTENT_TYPE).body(self.0)
    }
}

/// A table by its path, whose ending chooses.
enum TableResponse {
    Page(RenderedPage),
    Csv(CsvTable),
}

impl IntoResponse for TableResponse {
    fn into_response(self) -> Response {
        match self {
            Self::Page(page) => page.into_response(),
            Self::Csv(table) => table.into_response(),
        }
    }
}

/// By hand, because the derive gives a status one media type: of two variants with one status, the document keeps the last.
macro_rules! tables {
    ($($response:ty: $what:literal $($payload:ty),+;)+) => {$(
        impl ApiResponse for $response {
            fn meta() -> MetaResponses {
                let content = vec![$(MetaMediaType {
                    content_type: <$payload>::CONTENT_TYPE,
                    schema: <$payload>::schema_ref(),
                }),+];
                MetaResponses {
                    responses: vec![MetaResponse {
                        description: $what,
                        status: Some(200),
                        status_range: None,
                        content,
                        headers: Vec::new(),
                    }],
                }
            }

            fn register(registry: &mut Registry) {
                $(<$payload as Payload>::register(registry);)+
            }
        }
    )+};
}
tables! {
    RenderedPage: "A page." RenderedPage;
    CsvTable: "The whole table." CsvTable;
    TableResponse: "A page; with the ending `.csv`, the whole table." RenderedPage, CsvTable;
}

/// A record.
#[derive(Debug, Object)]
#[oai(rename = "Record")]
struct RecordBody {
    id: String,
    srn: String,
    schema_id: String,
    version: u32,
    /// The metadata as submitted.
    metadata: Value,
    created_at: String,
}

/// What a page or a table asks for.
struct Asked {
    cursor: Option<String>,
    limit: Option<i64>,
}

impl Asked {
    fn new(
        cursor: Query<Option<String>>,
        limit: &Query<Option<i64>>,
        sort: &Query<Option<String>>,
    ) -> Result<Self, Problem> {
        if sort.0.as_deref().is_some_and(|s| !s.is_empty()) {
            // Ignoring it would give rows in an order that the client takes for another.
            let invalid = Invalid::value(
                "cannot be chosen in this release: records come newest first, feature rows by id",
            )
            .of_field("sort");
            return Err(Problem::invalid(&invalid, "query"));
        }
        Ok(Self {
            cursor: cursor.0.filter(|c| !c.is_empty()),
            limit: limit.0,
        })
    }
}

fn manifest_table(counted: CountedTable) -> ManifestTable {
    let column = |c: TableColumn| ManifestColumn {
        name: c.name,
        column_type: c.wire_type.to_owned(),
        format: c.format,
        description: c.description,
        unit: c.unit,
    };
    let (name, kind, covered) = match counted.table.kind {
        TableKind::Records => ("records".to_owned(), "records", None),
        TableKind::Feature(hook) => (hook.into(), "feature", Some(counted.counts.records)),
    };
    ManifestTable {
        name,
        kind: kind.to_owned(),
        columns: counted.table.columns.into_iter().map(column).collect(),
        row_count: counted.counts.rows,
        records_covered: covered,
        formats: vec![String::new(), "csv".to_owned()],
    }
}

impl DataApi {
    async fn json(
        &self,
        permit: Permit<act::ReadData>,
        schema: &str,
        feature: Option<&str>,
        asked: Asked,
    ) -> Result<RenderedPage, Problem> {
        let page = self
            .0
            .read_data
            .page(
                permit,
                schema,
                feature,
                asked.cursor.as_deref(),
                clamp_limit(asked.limit),
            )
            .await?;
        Ok(page.into())
    }

    /// A stream in bounded memory. A failure in the middle ends the connection without the final chunk, so the client sees it as failed.
    async fn csv(
        &self,
        permit: Permit<act::ReadData>,
        schema: &str,
        feature: Option<&str>,
        asked: Asked,
    ) -> Result<CsvTable, Problem> {
        let (columns, rows) = self
            .0
            .read_data
            .stream(permit, schema, feature, asked.cursor.as_deref())
            .await?;
        let mut header = Vec::new();
        csv_row(
            &mut header,
            columns.iter().map(|c| Cow::Borrowed(c.name.as_str())),
        );
        let pieces = rows.ready_chunks(256).map(|rows| {
            let mut piece = Vec::new();
            for row in rows {
                match row {
                    Ok(row) => csv_row(&mut piece, row.iter().map(csv_cell)),
                    Err(error) => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "a table could not be read to its end"
                        );
                        return Err(std::io::Error::other("the table could not be read to its end"));
                    }
                }
            }
            Ok(piece)
        });
        let whole = futures::stream::once(std::future::ready(Ok(header))).chain(pieces);
        Ok(CsvTable(Body::from_bytes_stream(whole)))
    }
}

#[OpenApi(tag = "Tag::Data")]
impl DataApi {
    /// Read the catalogue: every schema version and its tables.
    #[oai(path = "/data", method = "get", operation_id = "getCatalogue")]
    async fn catalogue(&self, Gate(permit): Gate<act::ReadData>) -> Result<Json<Catalogue>, Problem> {
        let node = self.0.read_data.node();
        let resource = |name: String, kind: &str| TableResource {
            name,
            kind: kind.to_owned(),
        };
        let entry = |entry: app::read_data::CatalogueEntry| {
            let mut table_resources = vec![resource("records".to_owned(), "records")];
            table_resources.extend(
                entry
                    .features
                    .into_iter()
                    .map(|hook| resource(hook.into(), "feature")),
            );
            CatalogueSchema {
                id: entry.schema.id.to_string(),
                version: entry.schema.version.to_string(),
                srn: entry.schema.srn(node),
                table_resources,
            }
        };
        let schemas = self
            .0
            .read_data
            .catalogue(permit)
            .await?
            .into_iter()
            .map(entry)
            .collect();
        Ok(Json(Catalogue {
            node_domain: node.to_string(),
            schemas,
        }))
    }

    /// Read a schema's manifest: its fields, tables, columns and counts.
    ///
    /// `{schema}` is `id`, every version of the newest major, or `id@version`, exactly one.
    #[oai(path = "/data/:schema", method = "get", operation_id = "getManifest")]
    async fn manifest(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
    ) -> Result<Json<Manifest>, Problem> {
        let manifest = self.0.read_data.manifest(permit, &schema.0).await?;
        let reference: &SchemaRef = &manifest.schema.reference;
        let field = |f: &domain::FieldDefinition| ManifestField {
            name: f.name.to_string(),
            field_type: f.field_type.as_str().to_owned(),
            description: f.description.clone(),
            unit: f.constraints.as_ref().and_then(|c| c.unit.clone()),
            examples: Some(f.examples.clone()).filter(|e| !e.is_empty()),
        };
        Ok(Json(Manifest {
            id: reference.id.to_string(),
            version: reference.version.to_string(),
            srn: reference.srn(self.0.read_data.node()),
            title: manifest.schema.title.clone(),
            fields: manifest.schema.fields.iter().map(field).collect(),
            table_resources: manifest.tables.into_iter().map(manifest_table).collect(),
        }))
    }

    /// Read a record: `{id}`, the newest version, or `{id}@{n}`.
    #[oai(path = "/data/records/:id", method = "get", operation_id = "getRecord")]
    async fn record(
        &self,
        Gate(permit): Gate<act::ReadData>,
        id: Path<String>,
    ) -> Result<Json<RecordBody>, Problem> {
        let record = self.0.read_data.record(permit, &id.0).await?;
        Ok(Json(RecordBody {
            id: record.srn.id.to_string(),
            srn: record.srn.to_string(),
            schema_id: record.schema.to_string(),
            version: record.srn.version.get(),
            metadata: record.metadata,
            created_at: model_time(record.created_at),
        }))
    }

    /// Read a page of a schema's records, newest first.
    #[oai(
        path = "/data/:schema/records",
        method = "get",
        operation_id = "records_get_json"
    )]
    async fn records(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        cursor: Query<Option<String>>,
        limit: Query<Option<i64>>,
        sort: Query<Option<String>>,
    ) -> Result<RenderedPage, Problem> {
        self.json(permit, &schema.0, None, Asked::new(cursor, &limit, &sort)?)
            .await
    }

    /// Read a schema's records as CSV.
    #[oai(
        path = "/data/:schema/records.csv",
        method = "get",
        operation_id = "records_get_csv"
    )]
    async fn records_csv(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        cursor: Query<Option<String>>,
        limit: Query<Option<i64>>,
        sort: Query<Option<String>>,
    ) -> Result<CsvTable, Problem> {
        self.csv(permit, &schema.0, None, Asked::new(cursor, &limit, &sort)?)
            .await
    }

    /// Read a page of a feature table, by row id; with the ending `.csv`, the whole table as CSV.
    #[oai(path = "/data/:schema/:feature", method = "get", operation_id = "feature_get")]
    async fn feature(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        feature: Path<String>,
        cursor: Query<Option<String>>,
        limit: Query<Option<i64>>,
        sort: Query<Option<String>>,
    ) -> Result<TableResponse, Problem> {
        let asked = Asked::new(cursor, &limit, &sort)?;
        match feature.0.strip_suffix(".csv") {
            Some(name) => Ok(TableResponse::Csv(
                self.csv(permit, &schema.0, Some(name), asked).await?,
            )),
            None => Ok(TableResponse::Page(
                self.json(permit, &schema.0, Some(&feature.0), asked).await?,
            )),
        }
    }

    /// Trace a feature row to everything that it came from.
    #[oai(
        path = "/data/:schema/:feature/rows/:row_id/trace",
        method = "get",
        operation_id = "traceRow"
    )]
    async fn trace(
        &self,
        Gate(permit): Gate<act::ReadData>,
        schema: Path<String>,
        feature: Path<String>,
        row_id: Path<String>,
    ) -> Result<Json<RowTraceBody>, Problem> {
        let row = row_id.0.parse::<i64>().map_err(|_| {
            Problem::invalid(
                &Invalid::value("must be a whole number").of_field("row_id"),
                "path",
            )
        })?;
        Ok(Json(
            self.0
                .read_provenance
                .trace(permit, &schema.0, &feature.0, row)
                .await?
                .into(),
        ))
    }
}
