//! Reads of tables: records and features.

use std::pin::Pin;

use async_trait::async_trait;
use domain::data::record::RecordRef;
use domain::{
    Cell, ColumnType, Filter, HookName, RecordSrn, RunId, Schema, SchemaId, SchemaRef, SortKey, Withdrawal,
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

/// The kind of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// The records of a schema.
    Records,
    /// A hook's feature table.
    Feature(HookName),
}

/// A readable table, resolved from the catalogue without touching its rows (WC-D31).
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its kind.
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
    /// Returns its name in paths: `records`, or the hook's name.
    pub fn name(&self) -> &str {
        match &self.kind {
            TableKind::Records => "records",
            TableKind::Feature(hook) => hook.as_str(),
        }
    }
}

/// Selects and orders the rows of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableQuery {
    /// Only rows that match.
    pub filter: Option<Filter>,
    /// The order. If empty, the default order: records newest first, feature rows by id. Rows with equal keys are
    /// ordered by SRN or id, in the first key's direction.
    pub sort: Vec<SortKey>,
    /// Reads what was current at this time; now if `None`.
    pub as_of: Option<OffsetDateTime>,
}

/// The row after which a page begins, in the table's order.
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
    /// The metadata as submitted.
    pub metadata: Value,
    /// When it was published.
    pub created_at: OffsetDateTime,
}

/// A stream of rows, some hundreds at a time. It ends with an error if the table could not be read to its end.
pub type RowStream = Pin<Box<dyn Stream<Item = Result<Vec<Vec<Cell>>, StoreError>> + Send>>;

/// Counts of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableCounts {
    /// Number of rows.
    pub rows: u64,
    /// Number of distinct records among them.
    pub records: u64,
}

/// Whether a table can be read as of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Yes: what was current then will never change.
    Yes,
    /// Not yet: a running transaction may still write something with an earlier time.
    NotYet,
    /// No: the time is in the future by the database's clock.
    Ahead,
}

/// Tables of records and features.
#[async_trait]
pub trait DataQueries: Send + Sync {
    /// Returns every schema version, ordered by id and version.
    async fn schemas(&self) -> Result<Vec<Schema>, StoreError>;
    /// Returns the versions of one schema, with the hooks that each has had.
    async fn schema_versions(&self, id: &SchemaId) -> Result<Vec<(Schema, Vec<HookName>)>, StoreError>;
    /// Returns the hooks of every schema version.
    async fn schema_features(&self) -> Result<Vec<(SchemaRef, HookName)>, StoreError>;
    /// Returns at most `limit` rows after `after`. [`StoreError::TooSlow`] if they cannot be found in bounded time.
    async fn page(
        &self,
        table: &Table,
        query: &TableQuery,
        after: Option<&PageKey>,
        limit: u32,
    ) -> Result<Vec<Vec<Cell>>, StoreError>;
    /// Returns all rows after `after`, in bounded memory. JSON is in it as text. While the maximum number of streams is
    /// open it waits for its turn, the first first; [`StoreError::Unavailable`] if that does not come soon.
    async fn stream(
        &self,
        table: &Table,
        query: &TableQuery,
        after: Option<PageKey>,
    ) -> Result<RowStream, StoreError>;
    /// Counts the rows and records of a table.
    async fn counts(&self, table: &Table, query: &TableQuery) -> Result<TableCounts, StoreError>;
    /// Estimates the number of rows of a table without counting them; includes all of its schemas and superseded
    /// rows.
    async fn estimated_rows(&self, table: &Table) -> Result<u64, StoreError>;
    /// Returns whether what was current at a time is settled: the time is past, and no open transaction could still
    /// write something with an earlier time.
    async fn settled(&self, at: OffsetDateTime) -> Result<Settled, StoreError>;
    /// Returns a record in the requested version, or else the newest; also if it is withdrawn.
    async fn record(&self, reference: RecordRef) -> Result<Option<RecordView>, StoreError>;
    /// Returns those of the record versions that must not be read, each with the withdrawal in force: the record is
    /// withdrawn, or the run that published this version is.
    async fn withdrawn(&self, versions: &[RecordSrn]) -> Result<Vec<(RecordSrn, Withdrawal)>, StoreError>;
}
