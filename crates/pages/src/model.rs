//! The content of a page: plain data that the caller gathered and authorized.

use serde_json::Value;
use time::OffsetDateTime;

use crate::base::BaseUrl;

/// The properties of the node that every page shows.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its domain, with a port if there is one.
    pub domain: String,
    /// Its purpose.
    pub description: String,
    /// Its public address, which all links begin with.
    pub base: BaseUrl,
    /// Hallmark's version.
    pub version: String,
}

/// A number of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The number.
    pub value: u64,
    /// Whether it was counted; an estimate is shown with "about".
    pub exact: bool,
}

/// The totals of the archive.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Published records.
    pub records: Count,
    /// Rows of all feature tables.
    pub feature_rows: Count,
    /// Conventions.
    pub conventions: Count,
    /// Hooks.
    pub hooks: Count,
    /// When that was counted; `None` if it never was.
    pub as_of: Option<OffsetDateTime>,
}

/// A convention, on the front page.
#[derive(Clone, Debug)]
pub struct ConventionEntry {
    /// Its slug.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// Its description.
    pub description: String,
    /// The purpose of its data.
    pub purpose: Option<String>,
    /// Its schema version, `id@version`.
    pub schema: String,
    /// Its hooks, in order.
    pub hooks: Vec<String>,
}

/// The kind of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// Records: one row each.
    Records,
    /// Feature rows of a hook.
    Feature,
}

/// A table, on the front page.
#[derive(Clone, Debug)]
pub struct TableEntry {
    /// `records`, or the hook's name.
    pub name: String,
    /// Its kind.
    pub kind: TableKind,
    /// How many rows it has.
    pub rows: Count,
    /// Of a feature table: how many records have rows in it.
    pub records_covered: Option<Count>,
}

/// A schema, on the front page.
#[derive(Clone, Debug)]
pub struct SchemaEntry {
    /// `id@version`, or `id`.
    pub schema: String,
    /// Its title.
    pub title: String,
    /// Its tables.
    pub tables: Vec<TableEntry>,
}

/// The release that a hook points at.
#[derive(Clone, Debug)]
pub struct LiveRelease {
    /// Its number.
    pub version: u32,
    /// Its image.
    pub image: String,
    /// Its image's digest.
    pub digest: String,
    /// The commit it was built from.
    pub source_ref: String,
    /// When it was built.
    pub built_at: OffsetDateTime,
}

/// A hook, on the front page.
#[derive(Clone, Debug)]
pub struct HookEntry {
    /// Its name, which is its feature table's too.
    pub name: String,
    /// The release that is live.
    pub live: Option<LiveRelease>,
}

/// The content of the front page.
#[derive(Clone, Debug)]
pub struct FrontPage {
    /// The node.
    pub node: Node,
    /// How much there is.
    pub totals: Totals,
    /// Its conventions.
    pub conventions: Vec<ConventionEntry>,
    /// Its schemas and their tables.
    pub schemas: Vec<SchemaEntry>,
    /// Its hooks.
    pub hooks: Vec<HookEntry>,
}

/// A column of a table, or a metadata field.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type: `text`, `number`, `date`, ...
    pub column_type: String,
    /// The unit of its values.
    pub unit: Option<String>,
    /// What it means.
    pub description: Option<String>,
}

/// What a row of a table represents, which decides its links.
#[derive(Clone, Debug)]
pub enum RowOf {
    /// A record: its page.
    Record {
        /// Its id.
        id: String,
    },
    /// A feature row: its trace, and its record's page.
    Feature {
        /// The row's id.
        row_id: i64,
        /// The id of the record that it is about.
        record_id: String,
    },
}

/// A row of a table.
#[derive(Clone, Debug)]
pub struct TableRow {
    /// What it represents.
    pub of: RowOf,
    /// Its values, in the order of the columns.
    pub cells: Vec<Value>,
}

/// A page of a table.
#[derive(Clone, Debug)]
pub struct TablePage {
    /// The node.
    pub node: Node,
    /// The schema as requested: `id` or `id@version`.
    pub schema: String,
    /// The schema's title.
    pub title: String,
    /// `records`, or the hook's name.
    pub table: String,
    /// Its kind.
    pub kind: TableKind,
    /// The columns in wire order. The first, `id`, heads its row.
    pub columns: Vec<Column>,
    /// The page's rows.
    pub rows: Vec<TableRow>,
    /// How many rows the table has, if that is known.
    pub total: Option<Count>,
    /// When that was counted.
    pub as_of: Option<OffsetDateTime>,
    /// The query of the page, without its cursor: `limit`, `sort`, `as_of`. Links keep it.
    pub query: Vec<(String, String)>,
    /// Whether this page was reached by a cursor, so that there is a first page to link to.
    pub continued: bool,
    /// The cursor of the next page.
    pub next_cursor: Option<String>,
}

/// A field of a record, or a value of a row.
#[derive(Clone, Debug)]
pub struct FieldValue {
    /// Its column.
    pub column: Column,
    /// Its value.
    pub value: Value,
}

/// The features that a hook computed for a record.
#[derive(Clone, Debug)]
pub struct RecordFeature {
    /// The hook's name.
    pub name: String,
    /// The table's columns. The first, `id`, heads its row.
    pub columns: Vec<Column>,
    /// Its rows of this record.
    pub rows: Vec<TableRow>,
    /// Whether there are more rows than these.
    pub more: bool,
}

/// A record.
#[derive(Clone, Debug)]
pub struct RecordPage {
    /// The node.
    pub node: Node,
    /// Its id.
    pub id: String,
    /// Its SRN.
    pub srn: String,
    /// Its version.
    pub version: u32,
    /// Its schema version, `id@version`.
    pub schema: String,
    /// The schema's title.
    pub title: String,
    /// When it was published.
    pub created_at: OffsetDateTime,
    /// Its metadata, in the schema's order.
    pub metadata: Vec<FieldValue>,
    /// Its source.
    pub source: Option<Source>,
    /// Its computed features.
    pub features: Vec<RecordFeature>,
}

/// An error.
#[derive(Clone, Debug)]
pub struct ErrorPage {
    /// The archive's address, for the page's links.
    pub base: BaseUrl,
    /// The HTTP status.
    pub status: u16,
    /// A short title of the error.
    pub title: String,
    /// A sentence about the error.
    pub detail: String,
}

/// The source of a record.
#[derive(Clone, Debug)]
pub enum Source {
    /// It was published from a deposition.
    Deposition {
        /// The deposition.
        srn: String,
        /// Its convention.
        convention: String,
        /// Which submission of it was published, from 1.
        submission: u64,
        /// When it was submitted.
        submitted_at: OffsetDateTime,
        /// Who submitted it.
        owner: Who,
        /// Who approved it, where a curator had to.
        curated_by: Option<Who>,
    },
    /// It came from an ingest run.
    Ingest {
        /// The convention.
        convention: String,
        /// The ingest run.
        ingest_run: String,
        /// The source's own id of the record.
        source_id: String,
        /// Which upload of the run.
        upload: i32,
        /// The line in that upload.
        line: i64,
        /// The batch.
        batch: Option<i32>,
        /// Who opened the run.
        opened_by: Who,
        /// Who sent the upload.
        pushed_by: Who,
    },
}

/// A principal, as pages show it.
#[derive(Clone, Debug)]
pub struct Who {
    /// `user:<id>`, `service_account:<id>` or `system`.
    pub id: String,
    /// A user's name, or a service account's subject.
    pub name: Option<String>,
    /// A user's identity provider, or a service account's issuer.
    pub authority: Option<String>,
}
