//! Reads of tables: records and features.

use std::pin::Pin;

use async_trait::async_trait;
use domain::data::record::RecordRef;
use domain::{
    Cell, ColumnType, Filter, HookName, NodeDomain, RecordSrn, RunId, Schema, SchemaId, SchemaRef, SortKey,
};
use futures::Stream;
use serde_json::Value;
use time::OffsetDateTime;

use crate::error::StoreError;

/// One column of a table that can be read.
#[derive(Clone, Debug, PartialEq)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub column_type: ColumnType,
    /// Its type's name on the wire.
    pub wire_type: &'static str,
    /// Its format.
    pub format: Option<String>,
    /// What it means.
    pub description: Option<String>,
    /// Its unit.
    pub unit: Option<String>,
    /// Whether the server adds it.
    pub implicit: bool,
}

/// Which table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// The records of a schema.
    Records,
    /// A hook's feature table.
    Feature(HookName),
}

/// A table that can be read: resolved from the catalogue, without touching its rows (WC-D31).
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Which.
    pub kind: TableKind,
    /// The schema's id.
    pub schema: SchemaId,
    /// The metadata table's major version.
    pub major: u64,
    /// The schema versions whose records it shows.
    pub versions: Vec<String>,
    /// Its columns, in wire order.
    pub columns: Vec<TableColumn>,
}

impl Table {
    /// Its name in paths: `records`, or the hook's.
    pub fn name(&self) -> &str {
        match &self.kind {
            TableKind::Records => "records",
            TableKind::Feature(hook) => hook.as_str(),
        }
    }
}

/// Which rows of a table are read, and in which order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableQuery {
    /// Only rows that fit.
    pub filter: Option<Filter>,
    /// The order; empty is the usual one: records newest first, feature rows by id. Of rows with equal keys the SRN or the id decides,
    /// in the first key's direction.
    pub sort: Vec<SortKey>,
    /// What was current then; none is now.
    pub as_of: Option<OffsetDateTime>,
}

/// Where a page begins: after this row, in the table's order.
#[derive(Clone, Debug, PartialEq)]
pub enum PageKey {
    /// Records: newest first, then by SRN.
    Record(OffsetDateTime, String),
    /// Feature rows: by id.
    Row(i64),
    /// Rows of a release: by run, then by id.
    OfRun(RunId, i64),
    /// Records of a release: by run, then by SRN.
    RecordOfRun(RunId, String),
}

/// A published record.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordView {
    /// Its SRN.
    pub srn: RecordSrn,
    /// Its schema version.
    pub schema: SchemaRef,
    /// The metadata as given.
    pub metadata: Value,
    /// When it was published.
    pub created_at: OffsetDateTime,
}

/// A stream of rows, some hundreds at a time; it ends with an error when the table could not be read to its end.
pub type RowStream = Pin<Box<dyn Stream<Item = Result<Vec<Vec<Cell>>, StoreError>> + Send>>;

/// Counts of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableCounts {
    /// Rows.
    pub rows: u64,
    /// Distinct records among them.
    pub records: u64,
}

/// Whether a time can be read as of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It can: what was current then will never change.
    Yes,
    /// Something is being written that may belong to a time before it.
    NotYet,
    /// By the database's clock it lies ahead.
    Ahead,
}

/// Tables of records and features.
#[async_trait]
pub trait DataQueries: Send + Sync {
    /// Every schema version, by id and version.
    async fn schemas(&self) -> Result<Vec<Schema>, StoreError>;
    /// The versions of one schema, with the hooks that each has had.
    async fn schema_versions(&self, id: &SchemaId) -> Result<Vec<(Schema, Vec<HookName>)>, StoreError>;
    /// The hooks of every schema version.
    async fn schema_features(&self) -> Result<Vec<(SchemaRef, HookName)>, StoreError>;
    /// At most `limit` rows after `after`. [`StoreError::TooSlow`] when they cannot be found in bounded time.
    async fn page(
        &self,
        table: &Table,
        query: &TableQuery,
        after: Option<&PageKey>,
        limit: u32,
    ) -> Result<Vec<Vec<Cell>>, StoreError>;
    /// All rows after `after`, in bounded memory. [`StoreError::Unavailable`] when as many streams as the store can bear are being read.
    fn stream(
        &self,
        table: &Table,
        query: &TableQuery,
        after: Option<PageKey>,
    ) -> Result<RowStream, StoreError>;
    /// Counts of a table.
    async fn counts(&self, table: &Table, query: &TableQuery) -> Result<TableCounts, StoreError>;
    /// About how many rows a table has, without counting them; of all its schemas, superseded ones too.
    async fn estimated_rows(&self, table: &Table) -> Result<u64, StoreError>;
    /// Whether what was current at a time is settled: it is past, and no transaction is open that could still write something with an
    /// earlier time.
    async fn settled(&self, at: OffsetDateTime) -> Result<Settled, StoreError>;
    /// A record: the version asked for, or the newest.
    async fn record(&self, node: &NodeDomain, reference: RecordRef)
    -> Result<Option<RecordView>, StoreError>;
}
