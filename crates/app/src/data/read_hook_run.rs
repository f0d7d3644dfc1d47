//! `GET /hooks/runs/{id}`: a hook run, with the reason for its failure.
//!
//! What a hook prints may contain everything that it received. So the last lines of it are part of the reason only for
//! those who may read the log (PRV-8).

use std::sync::Arc;

use auth::{Permit, act};
use domain::{HookRun, RunId};

use crate::access::task::Asker;
use crate::data::read_provenance::ReadProvenance;
use crate::data::read_run_logs::ReadRunLogs;
use crate::failure::Failure;

/// Reads hook runs.
pub struct ReadHookRun {
    runs: Arc<ReadProvenance>,
    logs: Arc<ReadRunLogs>,
}

impl ReadHookRun {
    /// Creates the use case over these.
    pub fn new(runs: Arc<ReadProvenance>, logs: Arc<ReadRunLogs>) -> Self {
        Self { runs, logs }
    }

    /// Returns a hook run. Those who may read its log see why it failed, with the last lines that it printed. The
    /// access rule for others is that of [`ReadProvenance::run`].
    #[tracing::instrument(name = "app.read_hook_run", skip_all, fields(run = %id))]
    pub async fn run(&self, permit: Permit<act::ReadHookRuns>, id: RunId) -> Result<HookRun, Failure> {
        if permit.also::<act::ReadRunLogs>().is_ok()
            && let Some(run) = self.logs.explained(&Asker::of(&permit), id).await?
        {
            return Ok(run);
        }
        self.runs.run(permit, id).await
    }
}
