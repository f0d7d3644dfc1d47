//! Pages of tables and records.

use app::data::read_data::{Page, TableRequest};
use app::views::{TableColumn, TableKind};
use domain::Cell;
use domain::data::record::RecordSrn;
use pages::{Column, Count, FieldValue, RowOf, TableRow};
use poem_openapi::types::ParseFromParameter as _;
use serde_json::{Value, json};

use super::documents::{column, kind};
use super::{anyone, node, traces};
use crate::data::table::{TableParams, TableQuery};
use crate::http::problem::Problem;
use crate::http::query::{Limit, refused};
use crate::http::render::json_cell;
use crate::services::Services;

/// Number of rows of each feature table on a record's page.
const OF_RECORD: u32 = 20;

fn cell<'a>(columns: &[TableColumn], row: &'a [Cell], name: &str) -> Option<&'a Cell> {
    let at = columns.iter().position(|c| c.implicit && c.name == name)?;
    row.get(at)
}

/// Converts rows, each with the resource that it links to.
fn rows(page: &Page) -> Vec<TableRow> {
    let of = |row: &[Cell]| match (cell(&page.columns, row, "record_srn"), row.first()) {
        (Some(Cell::Text(srn)), Some(Cell::Integer(row_id))) => {
            let srn = srn.parse::<RecordSrn>().ok();
            RowOf::Feature {
                row_id: *row_id,
                record_id: srn.map_or_else(String::new, |srn| format!("{}@{}", srn.id, srn.version)),
            }
        }
        (_, Some(Cell::Uuid(id))) => RowOf::Record { id: id.to_string() },
        _ => RowOf::Record { id: String::new() },
    };
    page.rows
        .iter()
        .map(|row| TableRow {
            of: of(row),
            cells: row.iter().map(json_cell).collect(),
        })
        .collect()
}

fn columns(page: &Page) -> Vec<Column> {
    page.columns.iter().map(column).collect()
}

/// Builds the page of a table.
pub(super) async fn table(
    services: &Services,
    schema: &str,
    name: &str,
    query: &str,
) -> Result<pages::TablePage, Problem> {
    let mut asked: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let cursor = asked.iter().find(|(key, _)| key == "cursor").cloned();
    asked.retain(|(key, value)| {
        ["limit", "sort", "filter", "as_of"].contains(&key.as_str()) && !value.is_empty()
    });
    let given = |key: &str| asked.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
    let limit = given("limit")
        .map(|text| {
            Limit::parse_from_parameter(&text).map_err(|_| {
                let rule = domain::Invalid::typed("int_parsing", "must be an integer");
                refused("limit", rule)
            })
        })
        .transpose()?;
    let wanted = TableParams::try_from(TableQuery {
        cursor: cursor.as_ref().map(|(_, text)| text.clone()),
        limit,
        sort: given("sort"),
        filter: given("filter"),
        as_of: given("as_of"),
    })?;
    let permit = anyone()?;
    let manifest = services.data.read_data.manifest(&permit, schema, false).await?;
    let page = wanted.page(services, &permit, schema, name).await?;
    let counted = manifest.tables.iter().find(|table| table.table.name() == name);
    let whole = given("filter").is_none() && given("as_of").is_none();
    Ok(pages::TablePage {
        node: node(services),
        schema: schema.to_owned(),
        title: manifest.schema.title.clone(),
        table: name.to_owned(),
        kind: counted.map_or(pages::TableKind::Feature, |table| kind(&table.table.kind)),
        columns: columns(&page),
        rows: rows(&page),
        total: counted.filter(|_| whole).map(|table| Count {
            value: table.counts.rows,
            exact: !table.counts.estimated,
        }),
        as_of: counted.map(|table| table.counts.counted_at),
        query: asked,
        continued: cursor.is_some_and(|(_, text)| !text.is_empty()),
        next_cursor: page.next_cursor,
    })
}

/// Builds the page of a record, with its rows of each feature table.
pub(super) async fn record(services: &Services, reference: &str) -> Result<pages::RecordPage, Problem> {
    let permit = anyone()?;
    let record = services.data.read_data.record(&permit, reference).await?;
    let schema = record.schema.to_string();
    let manifest = services.data.read_data.manifest(&permit, &schema, false).await?;
    let of_record =
        json!({"kind": "predicate", "field": "record_srn", "op": "eq", "value": record.srn.to_string()});
    let asked = TableRequest {
        filter: Some(of_record),
        ..TableRequest::default()
    };
    let mut features = Vec::new();
    let mut source = None;
    let mut metadata = Vec::new();
    for table in &manifest.tables {
        match &table.table.kind {
            TableKind::Records => {
                let declared = table.table.columns.iter().filter(|c| !c.implicit);
                metadata.extend(declared.map(|c| FieldValue {
                    column: column(c),
                    value: record.metadata.get(&c.name).cloned().unwrap_or(Value::Null),
                }));
            }
            TableKind::Feature(hook) => {
                let page = services
                    .data
                    .read_data
                    .page(&permit, &schema, Some(hook.as_str()), &asked, OF_RECORD)
                    .await?;
                let rows = rows(&page);
                if let (None, Some(RowOf::Feature { row_id, .. })) =
                    (&source, rows.first().map(|row| &row.of))
                {
                    source = traces::trace(services, &schema, hook.as_str(), &row_id.to_string())
                        .await?
                        .source;
                }
                features.push(pages::RecordFeature {
                    name: hook.to_string(),
                    columns: columns(&page),
                    rows,
                    more: page.next_cursor.is_some(),
                });
            }
        }
    }
    Ok(pages::RecordPage {
        node: node(services),
        id: record.srn.id.to_string(),
        srn: record.srn.to_string(),
        version: record.srn.version.get(),
        schema,
        title: manifest.schema.title.clone(),
        created_at: record.created_at,
        metadata,
        source,
        features,
    })
}
