//! `GET /hooks/runs/{id}/logs`: what a failed hook printed (PRV-8).
//!
//! A log may contain everything that the hook received. So it is readable by admins, by the creator of the work, and
//! by readers of that task; for all others the run does not exist.

use std::sync::Arc;

use auth::{Permit, act};
use domain::ledger::task::TaskAccess;
use domain::work::last_lines::last_lines;
use domain::work::run::ProvenanceError;
use domain::{HookRun, RunId};
use ports::{Blobs, ByteStream, IngestDetailQueries, ProvenanceQueries, TaskQueries};

use crate::access::task::{Asker, seen};
use crate::failure::Failure;
use crate::log_head::log_head;

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
        // The error must be about the run, not about the task, because the caller requested a run.
        let run = self.readable(&Asker::of(&permit), id).await?;
        let run = run.ok_or(ProvenanceError::UnknownRun(id))?;
        let none = || ProvenanceError::NoLog(id);
        let key = run.log_ref.ok_or_else(none)?;
        let (_, content) = self.blobs.get_stream(&key).await?.ok_or_else(none)?;
        Ok(content)
    }

    /// Returns a run if the requester may read its log. The reason for a failure ends with the last lines of the log.
    pub(crate) async fn explained(&self, asker: &Asker, id: RunId) -> Result<Option<HookRun>, Failure> {
        let Some(run) = self.readable(asker, id).await? else {
            return Ok(None);
        };
        let (Some(why), Some(key)) = (&run.failure, &run.log_ref) else {
            return Ok(Some(run));
        };
        let Some(log) = self.blobs.get(key).await? else {
            return Ok(Some(run));
        };
        let printed = last_lines(last_try(&log, why));
        let failure = if printed.is_empty() {
            why.clone()
        } else {
            format!("{why}; the last lines that it printed:\n{printed}")
        };
        Ok(Some(HookRun {
            failure: Some(failure),
            ..run
        }))
    }

    /// Returns a run if the requester may read its log.
    async fn readable(&self, asker: &Asker, id: RunId) -> Result<Option<HookRun>, Failure> {
        let Some((task, _)) = self.runs.task_of_run(id).await? else {
            return Ok(None);
        };
        match seen(&*self.tasks, asker, task, "see", TaskAccess::Read).await {
            Ok(_) => Ok(self.provenance.run(id).await?),
            Err(Failure::Task(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }
}

/// Returns the part of a log that belongs to the last try, which ended with this failure.
fn last_try<'a>(log: &'a [u8], why: &str) -> &'a [u8] {
    let head = log_head(&why).into_bytes();
    let at = log.windows(head.len()).rposition(|window| window == head);
    at.map_or(log, |at| &log[at + head.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves PRV-8
    #[test]
    fn only_the_last_try_of_a_log_is_part_of_the_reason() {
        let log = format!("{}first\n{}--- mine\nlast\n", log_head(&"oom"), log_head(&"exit"));
        assert_eq!(last_try(log.as_bytes(), "exit"), b"--- mine\nlast\n");
        assert_eq!(last_try(b"", "exit"), b"");
        assert_eq!(last_try(b"no head", "exit"), b"no head");
        let silent = format!("{}first\n{}", log_head(&"oom"), log_head(&"exit"));
        assert_eq!(last_try(silent.as_bytes(), "exit"), b"");
    }
}
