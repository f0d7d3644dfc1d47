//! Reads of what a release made.

use async_trait::async_trait;
use domain::{Cell, HookName, ReleaseId, RunId};
use time::OffsetDateTime;

use crate::data::{PageKey, RowStream, TableColumn};
use crate::error::StoreError;

/// Selects among what a release made.
#[derive(Clone, Debug, PartialEq)]
pub struct Recall {
    /// The hook whose table holds the rows.
    pub hook: HookName,
    /// The release.
    pub release: ReleaseId,
    /// Only what this run made.
    pub run: Option<RunId>,
    /// Only rows written at this time or later.
    pub since: Option<OffsetDateTime>,
    /// Only rows written before this time.
    pub until: Option<OffsetDateTime>,
    /// Only rows that tables show now: not superseded, of the records' newest versions.
    pub current: bool,
}

/// How much a release made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecallCounts {
    /// Runs that made rows.
    pub runs: u64,
    /// Rows.
    pub rows: u64,
    /// How many of these rows were superseded since.
    pub superseded: u64,
    /// Distinct records that have these rows.
    pub records: u64,
    /// When the first was written.
    pub first_at: Option<OffsetDateTime>,
    /// When the last was.
    pub last_at: Option<OffsetDateTime>,
}

/// What a release made (PRV-7).
#[async_trait]
pub trait RecallQueries: Send + Sync {
    /// Counts what a release made. [`StoreError::TooSlow`] if it cannot be counted in bounded time.
    async fn recall_counts(&self, recall: &Recall) -> Result<RecallCounts, StoreError>;
    /// Returns at most `limit` rows after `after`, ordered by run and id: `id`, `record_srn`, `run_id`, `created_at`,
    /// `superseded_by`, then the columns of the hook.
    async fn recalled_rows(
        &self,
        recall: &Recall,
        columns: &[TableColumn],
        after: Option<&PageKey>,
        limit: u32,
    ) -> Result<Vec<Vec<Cell>>, StoreError>;
    /// Returns all of these rows as a stream, as [`DataQueries::stream`](crate::DataQueries::stream) does.
    async fn recalled_rows_stream(
        &self,
        recall: &Recall,
        columns: &[TableColumn],
    ) -> Result<RowStream, StoreError>;
    /// Returns at most `limit` records after `after`, ordered by run and SRN: `record_srn`, `schema_id`, `run_id`,
    /// its rows, those that were not superseded, and when they were written. A record is listed once for each run
    /// that made rows for it.
    async fn recalled_records(
        &self,
        recall: &Recall,
        after: Option<&PageKey>,
        limit: u32,
    ) -> Result<Vec<Vec<Cell>>, StoreError>;
    /// Returns all of these records as a stream.
    async fn recalled_records_stream(&self, recall: &Recall) -> Result<RowStream, StoreError>;
}
