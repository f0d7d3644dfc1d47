//! Reading tables: catalogue, manifest, records and feature rows (WC-7).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use domain::data::filter::{FilterLimits, RawFilter};
use domain::data::page::PageScope;
use domain::data::record::{DataError, RecordRef};
use domain::data::sort::parse_sort;
use domain::{Cell, HookName, NodeDomain, RecordSrn, Schema, SchemaRef};
use ports::data::{PageKey, RecordView, RowStream, Settled, Table, TableColumn, TableKind, TableQuery};
use ports::{Clock, DataQueries, RegistryQueries};
use serde_json::Value;
use time::OffsetDateTime;

use crate::cursor::{self, Listed};
use crate::data::table_counts::{Counted, TableCounter};
use crate::data::table_scope::Tables;
use crate::failure::Failure;

/// One page of a table.
#[derive(Clone, Debug)]
pub struct Page {
    /// The columns, in wire order.
    pub columns: Vec<TableColumn>,
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
    /// The cursor of the next page; none on the last one.
    pub next_cursor: Option<String>,
}

/// A table with its counts.
#[derive(Clone, Debug)]
pub struct CountedTable {
    /// The table.
    pub table: Table,
    /// Its counts.
    pub counts: Counted,
}

/// The readable tables of a schema.
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
    tables: Tables,
    counts: TableCounter,
    clock: Arc<dyn Clock>,
    node: NodeDomain,
}

/// The request for rows of a table.
#[derive(Clone, Debug, Default)]
pub struct TableRequest {
    /// A filter, as JSON (WC-7.4).
    pub filter: Option<Value>,
    /// The order (WC-7.3).
    pub sort: Option<String>,
    /// Reads what was current at this time; now if `None`.
    pub as_of: Option<OffsetDateTime>,
    /// The cursor of the page before.
    pub cursor: Option<String>,
}

/// A table with the query on it.
struct Reading {
    table: Table,
    query: TableQuery,
    scope: PageScope,
    after: Option<PageKey>,
}

/// The maximum wait until what was current at a time is settled.
const MAX_WAIT: Duration = Duration::from_secs(5);

impl ReadData {
    /// Creates the use case over these queries.
    pub fn new(
        data: Arc<dyn DataQueries>,
        registry: Arc<dyn RegistryQueries>,
        clock: Arc<dyn Clock>,
        node: NodeDomain,
    ) -> Self {
        Self {
            counts: TableCounter::new(Arc::clone(&data), Arc::clone(&clock)),
            tables: Tables::new(data, registry),
            clock,
            node,
        }
    }

    /// Returns the node's domain.
    pub const fn node(&self) -> &NodeDomain {
        &self.node
    }

    /// Returns every schema version with its feature tables.
    #[tracing::instrument(name = "app.read_data.catalogue", skip_all)]
    pub async fn catalogue(&self, _permit: &Permit<act::ReadData>) -> Result<Vec<CatalogueEntry>, Failure> {
        let features = self.tables.data.schema_features().await?;
        let entry = |schema: Schema| {
            let of_schema = features
                .iter()
                .filter(|(reference, _)| *reference == schema.reference);
            CatalogueEntry {
                features: of_schema.map(|(_, hook)| hook.clone()).collect(),
                schema: schema.reference,
            }
        };
        Ok(self.tables.data.schemas().await?.into_iter().map(entry).collect())
    }

    /// Returns the tables of a schema with their counts: exact as of now, or as of the last count.
    #[tracing::instrument(name = "app.read_data.manifest", skip_all)]
    pub async fn manifest(
        &self,
        _permit: &Permit<act::ReadData>,
        schema: &str,
        exact: bool,
    ) -> Result<Manifest, Failure> {
        let (scope, tables) = self.tables.all(schema).await?;
        let mut counted = Vec::with_capacity(tables.len());
        for table in tables {
            counted.push(CountedTable {
                counts: self.counts.count(&table, exact).await?,
                table,
            });
        }
        Ok(Manifest {
            schema: scope.newest,
            tables: counted,
        })
    }

    /// Returns one page of a table; `feature` is the table's name, `None` for the records.
    #[tracing::instrument(name = "app.read_data.page", skip_all)]
    pub async fn page(
        &self,
        _permit: &Permit<act::ReadData>,
        schema: &str,
        feature: Option<&str>,
        asked: &TableRequest,
        limit: u32,
    ) -> Result<Page, Failure> {
        let reading = self.reading(schema, feature, asked).await?;
        let Reading {
            table,
            query,
            scope,
            after,
        } = reading;
        // One row more than requested shows whether there is another page.
        let data = &self.tables.data;
        let mut rows = data.page(&table, &query, after.as_ref(), limit + 1).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let last = rows.last().filter(|_| more).and_then(|row| key_of(&table, row));
        Ok(Page {
            next_cursor: last.map(|key| cursor::encode(&scope, &key)),
            columns: table.columns,
            rows,
        })
    }

    /// Returns all rows of a table after a cursor, as a stream.
    #[tracing::instrument(name = "app.read_data.stream", skip_all)]
    pub async fn stream(
        &self,
        _permit: &Permit<act::ReadData>,
        schema: &str,
        feature: Option<&str>,
        asked: &TableRequest,
    ) -> Result<(Vec<TableColumn>, RowStream), Failure> {
        let reading = self.reading(schema, feature, asked).await?;
        let rows = self
            .tables
            .data
            .stream(&reading.table, &reading.query, reading.after)
            .await?;
        Ok((reading.table.columns, rows))
    }

    async fn reading(
        &self,
        schema: &str,
        feature: Option<&str>,
        asked: &TableRequest,
    ) -> Result<Reading, Failure> {
        let (scope, table) = self.tables.one(schema, feature).await?;
        let filter = match &asked.filter {
            None => None,
            Some(value) => {
                let raw = RawFilter::parse(value, FilterLimits::default()).map_err(DataError::Query)?;
                Some(self.tables.filter(&scope, &table, &raw).await?)
            }
        };
        let sort = asked.sort.as_deref().unwrap_or_default();
        let query = TableQuery {
            filter,
            sort: parse_sort(sort, |name| column_of(&table, name)).map_err(DataError::Query)?,
            as_of: asked.as_of,
        };
        let scope = page_scope(&table, &query, asked.filter.as_ref());
        let after = asked.cursor.as_deref();
        let after = after
            .map(|text| {
                let listed = match table.kind {
                    TableKind::Records => Listed::Records,
                    TableKind::Feature(_) => Listed::Rows,
                };
                cursor::decode(&scope, listed, text)
            })
            .transpose()?;
        if let Some(at) = query.as_of {
            self.settle(at).await?;
        }
        Ok(Reading {
            table,
            query,
            scope,
            after,
        })
    }

    /// Waits until what was current at `at` can no longer change: otherwise the same query could have two results.
    async fn settle(&self, at: OffsetDateTime) -> Result<(), Failure> {
        let begun = self.clock.now();
        let mut pause = Duration::from_millis(20);
        loop {
            match self.tables.data.settled(at).await? {
                Settled::Yes => return Ok(()),
                Settled::Ahead => return Err(DataError::AsOfAhead.into()),
                Settled::NotYet if self.clock.now() - begun > MAX_WAIT => {
                    return Err(DataError::AsOfUnsettled.into());
                }
                Settled::NotYet => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
            }
        }
    }

    /// Returns the hooks whose tables a schema version has.
    pub(crate) async fn hooks_of(&self, schema: &SchemaRef) -> Result<BTreeSet<HookName>, Failure> {
        Ok(self.tables.scope(&schema.to_string()).await?.hooks)
    }

    /// Returns the newest schema version that `{schema}` of a path names.
    pub(crate) async fn newest(&self, schema: &str) -> Result<SchemaRef, Failure> {
        Ok(self.tables.scope(schema).await?.newest.reference)
    }

    /// Returns the columns of a feature table, in wire order.
    #[tracing::instrument(name = "app.read_data.columns", skip_all)]
    pub async fn columns(
        &self,
        _permit: &Permit<act::ReadData>,
        schema: &str,
        feature: &str,
    ) -> Result<Vec<TableColumn>, Failure> {
        Ok(self.tables.one(schema, Some(feature)).await?.1.columns)
    }

    /// Returns a feature table without its columns.
    pub(crate) async fn feature_table(&self, schema: &str, feature: &str) -> Result<Table, Failure> {
        self.tables.feature(schema, feature).await
    }

    /// Returns a record in the requested version, or else the newest. [`DataError::Withdrawn`] if it is withdrawn.
    #[tracing::instrument(name = "app.read_data.record", skip_all)]
    pub async fn record(
        &self,
        _permit: &Permit<act::ReadData>,
        reference: &str,
    ) -> Result<RecordView, Failure> {
        let parsed: RecordRef = reference
            .parse()
            .map_err(|e: domain::Invalid| DataError::from(e.of_field("id")))?;
        let record = self.tables.data.record(parsed).await?;
        let record = record.ok_or_else(|| DataError::UnknownRecord(reference.to_owned()))?;
        // Asked after it was read: what is withdrawn meanwhile is not returned either.
        self.not_withdrawn(&record.srn).await?;
        Ok(record)
    }

    /// Refuses a version of a record that is withdrawn (EDG-4).
    pub(crate) async fn not_withdrawn(&self, version: &RecordSrn) -> Result<(), Failure> {
        let withdrawn = self.tables.data.withdrawn(std::slice::from_ref(version)).await?;
        match withdrawn.into_iter().next() {
            None => Ok(()),
            Some((srn, withdrawal)) => Err(DataError::Withdrawn {
                record: srn.to_string(),
                withdrawal,
            }
            .into()),
        }
    }
}

/// Returns the column that a name in an order refers to: some have an alias (WC-7.3).
fn column_of(table: &Table, name: &str) -> Option<String> {
    let name = match (&table.kind, name) {
        (TableKind::Records, "id") => "srn",
        (TableKind::Records, "published_at") => "created_at",
        (_, name) => name,
    };
    table
        .columns
        .iter()
        .find(|c| c.name == name)
        .map(|c| c.name.clone())
}

/// Returns the scope of a cursor: it fits only the table, filter, order and time that created it (WC-D22).
fn page_scope(table: &Table, query: &TableQuery, filter: Option<&Value>) -> PageScope {
    let sort: Vec<String> = query.sort.iter().map(ToString::to_string).collect();
    let as_of = query.as_of.map(|at| at.unix_timestamp_nanos().to_string());
    PageScope::of(&[
        table.schema.as_str(),
        &table.versions.join(","),
        table.name(),
        &sort.join(","),
        &filter.map(Value::to_string).unwrap_or_default(),
        &as_of.unwrap_or_default(),
    ])
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
