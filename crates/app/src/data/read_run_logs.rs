//! `GET /hooks/runs/{id}/logs`: what a failed hook printed (PRV-8).
//!
//! A log may contain everything that the hook received. So it is readable by admins, by the creator of the work, and
//! by readers of that task; for all others the run does not exist.

use std::sync::Arc;

use auth::{Permit, act};
use domain::RunId;
use domain::ledger::task::TaskAccess;
use domain::work::run::ProvenanceError;
use ports::{Blobs, ByteStream, IngestDetailQueries, ProvenanceQueries, TaskQueries};

use crate::access::task::{Asker, seen};
use crate::failure::Failure;

/// Reads logs of hook runs.
pub struct ReadRunLogs {
    provenance: Arc<dyn ProvenanceQueries>,
    runs: Arc<dyn IngestDetailQueries>,
    tasks: Arc<dyn TaskQueries>,
    blobs: Arc<dyn Blobs>,
}

impl ReadRunLogs {
    /// Creates the use case over these ports.
    pub fn new(
        provenance: Arc<dyn ProvenanceQueries>,
        runs: Arc<dyn IngestDetailQueries>,
        tasks: Arc<dyn TaskQueries>,
        blobs: Arc<dyn Blobs>,
    ) -> Self {
        Self {
            provenance,
            runs,
            tasks,
            blobs,
        }
    }

    /// Returns the log of a run, as a stream.
    #[tracing::instrument(name = "app.read_run_logs", skip_all, fields(run = %id))]
    pub async fn run(&self, permit: Permit<act::ReadRunLogs>, id: RunId) -> Result<ByteStream, Failure> {
        let unknown = || ProvenanceError::UnknownRun(id);
        let asker = Asker::of(&permit);
        let (task, _) = self.runs.task_of_run(id).await?.ok_or_else(unknown)?;
        if let Err(failure) = seen(&*self.tasks, &asker, task, "see", TaskAccess::Read).await {
            return Err(match failure {
                // The error must be about the run, not about the task, because the caller requested a run.
                Failure::Task(_) => unknown().into(),
                other => other,
            });
        }
        let run = self.provenance.run(id).await?.ok_or_else(unknown)?;
        let none = || ProvenanceError::NoLog(id);
        let key = run.log_ref.ok_or_else(none)?;
        let (_, content) = self.blobs.get_stream(&key).await?.ok_or_else(none)?;
        Ok(content)
    }
}
