//! Reading tables: catalogue, manifest, records and feature rows (wire contract 7).

use std::collections::BTreeSet;
use std::sync::Arc;

use auth::{Permit, act};
use domain::names::RESERVED;
use domain::page::PageScope;
use domain::record::{DataError, RecordRef};
use domain::{
    Cell, ColumnType, FieldDefinition, HookName, JsonType, NodeDomain, Schema, SchemaId, SchemaRef,
};
use ports::queries::{PageKey, RecordView, RowStream, Table, TableColumn, TableCounts, TableKind};
use ports::{DataQueries, RegistryQueries};

use crate::cursor;
use crate::failure::Failure;

/// One page of a table.
#[derive(Clone, Debug)]
pub struct Page {
    /// The columns, in wire order.
    pub columns: Vec<TableColumn>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
    /// Where the next page begins; none on the last one.
    pub next_cursor: Option<String>,
}

/// A table with its counts.
#[derive(Clone, Debug)]
pub struct CountedTable {
    /// The table.
    pub table: Table,
    /// Its counts.
    pub counts: TableCounts,
}

/// What a schema has to read.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The schema: the newest version in scope.
    pub schema: Schema,
    /// Its tables, records first.
    pub tables: Vec<CountedTable>,
}

/// One entry of the catalogue.
#[derive(Clone, Debug)]
pub struct CatalogueEntry {
    /// The schema version.
    pub schema: SchemaRef,
    /// Its feature tables.
    pub features: Vec<HookName>,
}

/// Reads tables.
pub struct ReadData {
    data: Arc<dyn DataQueries>,
    registry: Arc<dyn RegistryQueries>,
    node: NodeDomain,
}

/// The schema versions that a `{schema}` of a path means, and their hooks.
struct Scope {
    /// The newest version in scope; its fields are a superset of the others'.
    newest: Schema,
    versions: Vec<String>,
    hooks: BTreeSet<HookName>,
}

impl ReadData {
    /// A use case on these queries.
    pub fn new(data: Arc<dyn DataQueries>, registry: Arc<dyn RegistryQueries>, node: NodeDomain) -> Self {
        Self { data, registry, node }
    }

    /// The node's domain.
    pub const fn node(&self) -> &NodeDomain {
        &self.node
    }

    /// Every schema version with its feature tables.
    pub async fn catalogue(&self, _permit: Permit<act::ReadData>) -> Result<Vec<CatalogueEntry>, Failure> {
        let features = self.data.schema_features().await?;
        let entry = |schema: Schema| {
            let of_schema = features
                .iter()
                .filter(|(reference, _)| *reference == schema.reference);
            CatalogueEntry {
                features: of_schema.map(|(_, hook)| hook.clone()).collect(),
                schema: schema.reference,
            }
        };
        Ok(self.data.schemas().await?.into_iter().map(entry).collect())
    }

    /// The tables of a schema, counted.
    pub async fn manifest(&self, _permit: Permit<act::ReadData>, schema: &str) -> Result<Manifest, Failure> {
        let scope = self.scope(schema).await?;
        let mut tables = vec![records_table(&scope)];
        for hook in &scope.hooks {
            tables.push(self.features(&scope, hook).await?);
        }
        let mut counted = Vec::with_capacity(tables.len());
        for table in tables {
            counted.push(CountedTable {
                counts: self.data.counts(&table).await?,
                table,
            });
        }
        Ok(Manifest {
            schema: scope.newest,
            tables: counted,
        })
    }

    /// One page of a table; `feature` is the table's name, `None` for the records.
    pub async fn page(
        &self,
        _permit: Permit<act::ReadData>,
        schema: &str,
        feature: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page, Failure> {
        let table = self.table(schema, feature).await?;
        let scope = page_scope(&table);
        let records = table.kind == TableKind::Records;
        let after = after
            .map(|text| cursor::decode(&scope, records, text))
            .transpose()?;
        // One row more than asked says whether there is another page.
        let mut rows = self.data.page(&table, after.as_ref(), limit + 1).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let last = rows.last().filter(|_| more).and_then(|row| key_of(&table, row));
        Ok(Page {
            next_cursor: last.map(|key| cursor::encode(&scope, &key)),
            columns: table.columns,
            rows,
        })
    }

    /// All rows of a table after a cursor, as a stream.
    pub async fn stream(
        &self,
        _permit: Permit<act::ReadData>,
        schema: &str,
        feature: Option<&str>,
        after: Option<&str>,
    ) -> Result<(Vec<TableColumn>, RowStream), Failure> {
        let table = self.table(schema, feature).await?;
        let after = after
            .map(|text| cursor::decode(&page_scope(&table), table.kind == TableKind::Records, text))
            .transpose()?;
        let rows = self.data.stream(&table, after)?;
        Ok((table.columns, rows))
    }

    /// A record: the version asked for, or the newest.
    pub async fn record(
        &self,
        _permit: Permit<act::ReadData>,
        reference: &str,
    ) -> Result<RecordView, Failure> {
        let parsed: RecordRef = reference
            .parse()
            .map_err(|e: domain::Invalid| DataError::from(e.of_field("id")))?;
        Ok(self
            .data
            .record(&self.node, parsed)
            .await?
            .ok_or_else(|| DataError::UnknownRecord(reference.to_owned()))?)
    }

    async fn table(&self, schema: &str, feature: Option<&str>) -> Result<Table, Failure> {
        match feature {
            None => Ok(records_table(&self.scope(schema).await?)),
            Some(feature) => self.feature_table(schema, feature).await,
        }
    }

    pub(crate) async fn feature_table(&self, schema: &str, feature: &str) -> Result<Table, Failure> {
        let scope = self.scope(schema).await?;
        let unknown = || DataError::UnknownFeature {
            schema: schema.to_owned(),
            feature: domain::schema::shortened(feature),
        };
        let hook = scope
            .hooks
            .iter()
            .find(|hook| hook.as_str() == feature)
            .ok_or_else(unknown)?;
        self.features(&scope, hook).await
    }

    async fn features(&self, scope: &Scope, hook: &HookName) -> Result<Table, Failure> {
        let unknown = || DataError::UnknownFeature {
            schema: scope.newest.reference.to_string(),
            feature: hook.to_string(),
        };
        let contract = self.registry.hook(hook).await?.ok_or_else(unknown)?.contract;
        let mut columns = vec![
            implicit("id", ColumnType::Integer, "number", None),
            implicit("record_srn", ColumnType::Text, "text", None),
            implicit("run_id", ColumnType::Uuid, "text", Some("uuid")),
            implicit("created_at", ColumnType::Timestamp, "text", Some("date-time")),
        ];
        columns.extend(contract.columns.into_iter().map(|column| TableColumn {
            column_type: column.column_type(),
            wire_type: match column.json_type {
                JsonType::Number | JsonType::Integer => "number",
                JsonType::Boolean => "boolean",
                JsonType::String | JsonType::Array | JsonType::Object => "text",
            },
            name: column.name.into(),
            format: column.format,
            description: column.description,
            unit: column.unit,
            implicit: false,
        }));
        Ok(scope.table(TableKind::Feature(hook.clone()), columns))
    }

    /// `id` means every version of the newest major (D17), `id@version` exactly one.
    async fn scope(&self, schema: &str) -> Result<Scope, Failure> {
        let unknown = || DataError::UnknownSchema(domain::schema::shortened(schema));
        let (id, version) = match schema.split_once('@') {
            Some(_) => {
                let reference: SchemaRef = schema
                    .parse()
                    .map_err(|e: domain::Invalid| DataError::from(e.of_field("schema")))?;
                (reference.id, Some(reference.version))
            }
            None => (
                schema
                    .parse::<SchemaId>()
                    .map_err(|e| DataError::from(e.of_field("schema")))?,
                None,
            ),
        };
        if RESERVED.contains(&id.as_str()) {
            return Err(DataError::Reserved(id.to_string()).into());
        }
        let mut all = self.data.schema_versions(&id).await?;
        if let Some(version) = version {
            all.retain(|(schema, _)| schema.reference.version == version);
        } else {
            let major = all
                .iter()
                .map(|(schema, _)| schema.reference.version.major())
                .max();
            all.retain(|(schema, _)| Some(schema.reference.version.major()) == major);
        }
        all.sort_by(|(a, _), (b, _)| a.reference.version.precedence(&b.reference.version));
        let versions = all
            .iter()
            .map(|(schema, _)| schema.reference.version.to_string())
            .collect();
        let hooks = all.iter().flat_map(|(_, hooks)| hooks.iter().cloned()).collect();
        let (newest, _) = all.pop().ok_or_else(unknown)?;
        Ok(Scope {
            newest,
            versions,
            hooks,
        })
    }
}

impl Scope {
    fn table(&self, kind: TableKind, columns: Vec<TableColumn>) -> Table {
        let reference = &self.newest.reference;
        Table {
            kind,
            schema: reference.id.clone(),
            major: reference.version.major(),
            versions: self.versions.clone(),
            columns,
        }
    }
}

fn implicit(
    name: &str,
    column_type: ColumnType,
    wire_type: &'static str,
    format: Option<&str>,
) -> TableColumn {
    TableColumn {
        name: name.to_owned(),
        column_type,
        wire_type,
        format: format.map(str::to_owned),
        description: None,
        unit: None,
        implicit: true,
    }
}

fn records_table(scope: &Scope) -> Table {
    let mut columns = vec![
        implicit("id", ColumnType::Uuid, "text", Some("uuid")),
        implicit("srn", ColumnType::Text, "text", None),
        implicit("schema_id", ColumnType::Text, "text", None),
        implicit("version", ColumnType::Integer, "number", None),
        implicit("created_at", ColumnType::Timestamp, "text", Some("date-time")),
    ];
    let declared = |field: &FieldDefinition| TableColumn {
        name: field.name.to_string(),
        column_type: field.field_type.column(),
        wire_type: field.field_type.as_str(),
        format: None,
        description: field.description.clone(),
        unit: field.constraints.as_ref().and_then(|c| c.unit.clone()),
        implicit: false,
    };
    columns.extend(scope.newest.fields.iter().map(declared));
    scope.table(TableKind::Records, columns)
}

fn page_scope(table: &Table) -> PageScope {
    let name = match &table.kind {
        TableKind::Records => "records",
        TableKind::Feature(hook) => hook.as_str(),
    };
    PageScope::of(&[table.schema.as_str(), &table.versions.join(","), name])
}

fn key_of(table: &Table, row: &[Cell]) -> Option<PageKey> {
    let cell = |name: &str| {
        table
            .columns
            .iter()
            .position(|c| c.implicit && c.name == name)
            .and_then(|index| row.get(index))
    };
    match table.kind {
        TableKind::Records => match (cell("created_at"), cell("srn")) {
            (Some(Cell::Timestamp(at)), Some(Cell::Text(srn))) => Some(PageKey::Record(*at, srn.clone())),
            _ => None,
        },
        TableKind::Feature(_) => match cell("id") {
            Some(Cell::Integer(id)) => Some(PageKey::Row(*id)),
            _ => None,
        },
    }
}
