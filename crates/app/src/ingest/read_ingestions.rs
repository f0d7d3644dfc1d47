//! Reading ingest runs.

use std::sync::Arc;

use auth::{Permit, act};
use domain::IngestRunId;
use domain::ingest::run::IngestError;
use ports::IngestQueries;
use ports::ingest::{IngestRunView, ReasonCount};

use crate::failure::Failure;

/// The maximum number of listed runs (WC-1.4).
const MAX_RUNS: u32 = 50;
/// The maximum number of distinct reasons in a run's detail.
const MAX_REASONS: u32 = 100;

/// Reads ingest runs.
pub struct ReadIngestions {
    ingests: Arc<dyn IngestQueries>,
}

impl ReadIngestions {
    /// Creates the use case over these queries.
    pub fn new(ingests: Arc<dyn IngestQueries>) -> Self {
        Self { ingests }
    }

    /// Returns the newest runs.
    #[tracing::instrument(name = "app.read_ingestions.list", skip_all)]
    pub async fn list(&self, _permit: Permit<act::ReadIngestions>) -> Result<Vec<IngestRunView>, Failure> {
        Ok(self.ingests.runs(MAX_RUNS).await?)
    }

    /// Returns one run, and why records of it were refused.
    #[tracing::instrument(name = "app.read_ingestions.get", skip_all, fields(ingest_run = %id))]
    pub async fn get(
        &self,
        _permit: Permit<act::ReadIngestions>,
        id: IngestRunId,
    ) -> Result<(IngestRunView, Vec<ReasonCount>), Failure> {
        let run = self.ingests.run(id).await?.ok_or(IngestError::UnknownRun(id))?;
        Ok((run, self.ingests.reasons(id, MAX_REASONS).await?))
    }
}
