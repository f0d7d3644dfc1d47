//! Where a row comes from (PRV-6), and hook runs.

use std::sync::Arc;

use auth::{Permit, act};
use domain::provenance::ProvenanceError;
use domain::{HookRun, NodeDomain, RunId};
use ports::ProvenanceQueries;
use ports::queries::RowTrace;

use crate::failure::Failure;
use crate::read_data::ReadData;

/// Traces rows.
pub struct ReadProvenance {
    provenance: Arc<dyn ProvenanceQueries>,
    data: Arc<ReadData>,
    node: NodeDomain,
}

impl ReadProvenance {
    /// A use case on these queries.
    pub fn new(provenance: Arc<dyn ProvenanceQueries>, data: Arc<ReadData>, node: NodeDomain) -> Self {
        Self {
            provenance,
            data,
            node,
        }
    }

    /// A hook run.
    pub async fn run(&self, _permit: Permit<act::ReadHookRuns>, id: RunId) -> Result<HookRun, Failure> {
        Ok(self
            .provenance
            .run(id)
            .await?
            .ok_or(ProvenanceError::UnknownRun(id))?)
    }

    /// Everything that a row of a feature table came from.
    pub async fn trace(
        &self,
        _permit: Permit<act::ReadData>,
        schema: &str,
        feature: &str,
        row: i64,
    ) -> Result<RowTrace, Failure> {
        let table = self.data.feature_table(schema, feature).await?;
        let unknown = || ProvenanceError::UnknownRow {
            feature: feature.to_owned(),
            schema: schema.to_owned(),
            row,
        };
        Ok(self
            .provenance
            .trace(&self.node, &table, row)
            .await?
            .ok_or_else(unknown)?)
    }
}
