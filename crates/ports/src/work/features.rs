//! Feature tables and their rows.

use async_trait::async_trait;
use domain::{FeatureContract, HookName, RecordSrn, Rows, RunId};

use crate::error::StoreError;

/// The rows that a hook computed for one record.
pub type RecordRows = (RecordSrn, Rows);

/// Feature tables and their rows.
#[async_trait]
pub trait Features: Send {
    /// Creates the hook's feature table if it does not exist.
    async fn create_table(&mut self, hook: &HookName, contract: &FeatureContract) -> Result<(), StoreError>;
    /// Makes `rows` the current rows of their records: `run` supersedes the hook's earlier rows for them, even where
    /// it computed none (PIP-6). Existing rows of `run` are left alone, so a redo changes nothing. Returns the number
    /// of rows written. They are read one by one, and may be more than fit into memory.
    async fn replace(
        &mut self,
        hook: &HookName,
        contract: &FeatureContract,
        run: RunId,
        rows: &[RecordRows],
    ) -> Result<u64, StoreError>;
}
