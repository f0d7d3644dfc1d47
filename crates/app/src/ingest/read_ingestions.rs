//! Reading ingest runs.

use std::sync::Arc;

use auth::{Permit, act};
use domain::IngestRunId;
use domain::ingest::run::IngestError;
use ports::IngestQueries;
use ports::ingest::{IngestRunView, ReasonCount};

use crate::failure::Failure;

/// How many runs a list shows (WC-1.4).
const MAX_RUNS: u32 = 50;
/// How many distinct reasons a run's detail shows.
const MAX_REASONS: u32 = 100;

/// Reads ingest runs.
pub struct ReadIngestions {
    ingests: Arc<dyn IngestQueries>,
}

impl ReadIngestions {
    /// A use case on these queries.
    pub fn new(ingests: Arc<dyn IngestQueries>) -> Self {
        Self { ingests }
    }

    /// The newest runs.
    pub async fn list(&self, _permit: Permit<act::ReadIngestions>) -> Result<Vec<IngestRunView>, Failure> {
        Ok(self.ingests.runs(MAX_RUNS).await?)
    }

    /// One run, and why records of it were refused.
    pub async fn get(
        &self,
        _permit: Permit<act::ReadIngestions>,
        id: IngestRunId,
    ) -> Result<(IngestRunView, Vec<ReasonCount>), Failure> {
        let run = self.ingests.run(id).await?.ok_or(IngestError::UnknownRun(id))?;
        Ok((run, self.ingests.reasons(id, MAX_REASONS).await?))
    }
}
