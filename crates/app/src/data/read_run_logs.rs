//! `GET /hooks/runs/{id}/logs`: what a failed hook printed (PRV-8).
//!
//! It may hold whatever the hook was given, so it is for admins, for who asked for the work, and for whom they let read that task;
//! everybody else is told that there is no such run.

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
    /// A use case on these ports.
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

    /// The log of a run, as a stream.
    pub async fn run(&self, permit: Permit<act::ReadRunLogs>, id: RunId) -> Result<ByteStream, Failure> {
        let unknown = || ProvenanceError::UnknownRun(id);
        let asker = Asker::of(&permit);
        let (task, _) = self.runs.task_of_run(id).await?.ok_or_else(unknown)?;
        if let Err(failure) = seen(&*self.tasks, &asker, task, "see", TaskAccess::Read).await {
            return Err(match failure {
                // Not the task's own words: the caller asked about a run.
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
