//! The parts of a [`domain::data::lineage::Lineage`], many at a time.

use async_trait::async_trait;
use domain::data::lineage::{LineageAgent, LineageRecord, LineageRelease, LineageRun, LineageTask, RowSet};
use domain::{Actor, HookName, RecordSrn, ReleaseId, RunId, TaskId};

use crate::error::StoreError;

/// How many rows of a release are looked at for an export.
pub const MAX_ROWS: u32 = 100_000;

/// Which rows of a hook's table are gathered into sets.
#[derive(Clone, Debug, PartialEq)]
pub enum RowSetsOf {
    /// Those of a record.
    Record(RecordSrn),
    /// What a run made.
    Run(RunId),
    /// What a release made.
    Release(ReleaseId),
    /// These, by their ids.
    Rows(Vec<i64>),
}

/// Reads parts of a lineage. What is asked for and not there is left out.
#[async_trait]
pub trait LineageQueries: Send + Sync {
    /// Rows of one run for one record, gathered; at most `most` sets, by run and record. Of a release at most [`MAX_ROWS`] rows are
    /// looked at.
    async fn row_sets(&self, hook: &HookName, of: &RowSetsOf, most: u32) -> Result<Vec<RowSet>, StoreError>;
    /// Runs. Why one failed is left out: it may hold what a hook printed.
    async fn lineage_runs(&self, runs: &[RunId]) -> Result<Vec<LineageRun>, StoreError>;
    /// Releases.
    async fn lineage_releases(&self, releases: &[ReleaseId]) -> Result<Vec<LineageRelease>, StoreError>;
    /// Records, and where they came from.
    async fn lineage_records(&self, records: &[RecordSrn]) -> Result<Vec<LineageRecord>, StoreError>;
    /// Tasks with their delegations.
    async fn lineage_tasks(&self, tasks: &[TaskId]) -> Result<Vec<LineageTask>, StoreError>;
    /// Who principals are.
    async fn lineage_agents(&self, actors: &[Actor]) -> Result<Vec<LineageAgent>, StoreError>;
}
