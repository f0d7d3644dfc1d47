//! The parts of a [`domain::data::lineage::Lineage`], read in bulk.

use async_trait::async_trait;
use domain::data::lineage::{LineageAgent, LineageRecord, LineageRelease, LineageRun, LineageTask, RowSet};
use domain::{Actor, HookName, RecordSrn, ReleaseId, RunId, TaskId};

use crate::error::StoreError;

/// The maximum number of rows of a release that an export reads.
pub const MAX_ROWS: u32 = 100_000;

/// Selects the rows of a hook's table that are grouped into sets.
#[derive(Clone, Debug, PartialEq)]
pub enum RowSetsOf {
    /// The rows of a record.
    Record(RecordSrn),
    /// The rows that a run made.
    Run(RunId),
    /// The rows that a release made.
    Release(ReleaseId),
    /// The rows with these ids.
    Rows(Vec<i64>),
}

/// Reads parts of a lineage. Requested items that do not exist are left out.
#[async_trait]
pub trait LineageQueries: Send + Sync {
    /// Returns rows grouped by run and record: at most `most` sets, ordered by run and record. Of a release at most
    /// [`MAX_ROWS`] rows are read.
    async fn row_sets(&self, hook: &HookName, of: &RowSetsOf, most: u32) -> Result<Vec<RowSet>, StoreError>;
    /// Returns runs. Leaves out why one failed, because the reason may contain what a hook printed.
    async fn lineage_runs(&self, runs: &[RunId]) -> Result<Vec<LineageRun>, StoreError>;
    /// Returns releases.
    async fn lineage_releases(&self, releases: &[ReleaseId]) -> Result<Vec<LineageRelease>, StoreError>;
    /// Returns records with their sources.
    async fn lineage_records(&self, records: &[RecordSrn]) -> Result<Vec<LineageRecord>, StoreError>;
    /// Returns tasks with their delegations.
    async fn lineage_tasks(&self, tasks: &[TaskId]) -> Result<Vec<LineageTask>, StoreError>;
    /// Returns the identities of principals.
    async fn lineage_agents(&self, actors: &[Actor]) -> Result<Vec<LineageAgent>, StoreError>;
}
