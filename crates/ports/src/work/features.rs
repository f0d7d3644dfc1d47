//! Feature tables and their rows.

use async_trait::async_trait;
use domain::{Cell, FeatureContract, HookName, RecordSrn, RunId};

use crate::error::StoreError;

/// The rows that a hook computed for one record.
pub type RecordRows = (RecordSrn, Vec<Vec<Cell>>);

/// Feature tables and their rows.
#[async_trait]
pub trait Features: Send {
    /// Makes the hook's feature table if there is none.
    async fn create_table(&mut self, hook: &HookName, contract: &FeatureContract) -> Result<(), StoreError>;
    /// Makes `rows` the current rows of their records: what the hook held for them is superseded by `run`, also where it computed
    /// none (PIP-6). Rows of `run` that are there already are left alone, so that a redo changes nothing. Gives the number of rows written.
    async fn replace(
        &mut self,
        hook: &HookName,
        contract: &FeatureContract,
        run: RunId,
        rows: &[RecordRows],
    ) -> Result<u64, StoreError>;
}
