//! The catalogue and a schema's manifest (WC-7.2).

use app::data::read_data::{CountedTable, Manifest as ManifestView};
use app::views::{TableColumn, TableKind};
use domain::{NodeDomain, SchemaRef};
use poem_openapi::Object;

use crate::http::render::model_time;

/// A table in the catalogue.
#[derive(Debug, Object)]
pub(crate) struct TableResource {
    name: String,
    /// `records` or `feature`.
    kind: String,
}

/// A schema version in the catalogue.
#[derive(Debug, Object)]
pub(crate) struct CatalogueSchema {
    id: String,
    version: String,
    srn: String,
    table_resources: Vec<TableResource>,
}

/// The catalogue.
#[derive(Debug, Object)]
pub(crate) struct Catalogue {
    node_domain: String,
    schemas: Vec<CatalogueSchema>,
}

/// A field of a manifest.
#[derive(Debug, Object)]
pub(crate) struct ManifestField {
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
pub(crate) struct ManifestColumn {
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
pub(crate) struct ManifestTable {
    name: String,
    /// `records` or `feature`.
    kind: String,
    columns: Vec<ManifestColumn>,
    row_count: u64,
    /// For feature tables: number of distinct records that have rows.
    #[oai(skip_serializing_if_is_none)]
    records_covered: Option<u64>,
    /// When the rows were counted.
    counted_at: String,
    /// Whether the count is the database's estimate, which includes superseded rows.
    estimated: bool,
    /// Suffixes that the table's path accepts; the empty suffix means JSON.
    formats: Vec<String>,
}

/// The readable tables and fields of a schema version.
#[derive(Debug, Object)]
pub(crate) struct Manifest {
    id: String,
    version: String,
    srn: String,
    title: String,
    fields: Vec<ManifestField>,
    table_resources: Vec<ManifestTable>,
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
        TableKind::Feature(hook) => (hook.into(), "feature", counted.counts.records),
    };
    ManifestTable {
        name,
        kind: kind.to_owned(),
        columns: counted.table.columns.into_iter().map(column).collect(),
        row_count: counted.counts.rows,
        records_covered: covered,
        counted_at: model_time(counted.counts.counted_at),
        estimated: counted.counts.estimated,
        formats: ["", "csv", "csv.gz", "parquet"].map(str::to_owned).to_vec(),
    }
}

impl Catalogue {
    pub(crate) fn new(node: &NodeDomain, entries: Vec<app::data::read_data::CatalogueEntry>) -> Self {
        let resource = |name: String, kind: &str| TableResource {
            name,
            kind: kind.to_owned(),
        };
        let entry = |entry: app::data::read_data::CatalogueEntry| {
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
        Self {
            node_domain: node.to_string(),
            schemas: entries.into_iter().map(entry).collect(),
        }
    }
}

impl Manifest {
    pub(crate) fn new(node: &NodeDomain, manifest: ManifestView) -> Self {
        let reference: &SchemaRef = &manifest.schema.reference;
        let field = |f: &domain::FieldDefinition| ManifestField {
            name: f.name.to_string(),
            field_type: f.field_type.as_str().to_owned(),
            description: f.description.clone(),
            unit: f.constraints.as_ref().and_then(|c| c.unit.clone()),
            examples: Some(f.examples.clone()).filter(|e| !e.is_empty()),
        };
        Self {
            id: reference.id.to_string(),
            version: reference.version.to_string(),
            srn: reference.srn(node),
            title: manifest.schema.title.clone(),
            fields: manifest.schema.fields.iter().map(field).collect(),
            table_resources: manifest.tables.into_iter().map(manifest_table).collect(),
        }
    }
}
