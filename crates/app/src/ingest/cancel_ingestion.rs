//! `POST /ingestions/{id}/cancel`: ends an active run early (WC-D20). What is published stays.

use std::sync::Arc;

use auth::{Permit, act};
use domain::ingest::run::IngestError;
use domain::ledger::delegation::preview;
use domain::{IngestRunId, IngestStatus, TaskStatus};
use ports::ingest::IngestRunView;
use ports::{Committed, IngestQueries, Store, StoreError, UnitOfWork, WorkQueue};

use crate::access::task::Asker;
use crate::failure::Failure;
use crate::ingest::ending::{end_run, need_opener};
use crate::retry::retried;

/// Cancels ingest runs.
pub struct CancelIngestion {
    store: Arc<dyn Store>,
    ingests: Arc<dyn IngestQueries>,
    queue: Arc<dyn WorkQueue>,
}

impl CancelIngestion {
    /// Creates the use case over these ports.
    pub fn new(store: Arc<dyn Store>, ingests: Arc<dyn IngestQueries>, queue: Arc<dyn WorkQueue>) -> Self {
        Self {
            store,
            ingests,
            queue,
        }
    }

    /// Cancels a run and returns it. Its records without an outcome are errored and its tasks cancelled; their
    /// workers are woken and stop its hooks. Cancelling a cancelled run changes nothing; a run that ended
    /// otherwise cannot be cancelled.
    #[tracing::instrument(name = "app.cancel_ingestion", skip_all, fields(ingest_run = %run))]
    pub async fn run(
        &self,
        permit: Permit<act::WriteIngestions>,
        run: IngestRunId,
        reason: Option<&str>,
    ) -> Result<IngestRunView, Failure> {
        let asker = Asker::of(&permit);
        let actor = &asker.actor;
        let why = match reason {
            Some(reason) => format!("cancelled by {actor}: {reason}"),
            None => format!("cancelled by {actor}"),
        };
        let was = retried!(self.attempt(&asker, run, &preview(&why)))?.into_inner();
        self.queue.notify_cancelled();
        let view = self.ingests.run(run).await?.ok_or(IngestError::UnknownRun(run))?;
        if !was.is_active() && view.failure_kind.as_deref() != Some(CANCELLED) {
            return Err(IngestError::Over { run, status: was }.into());
        }
        Ok(view)
    }

    /// Leases are locked before runs everywhere. So open work is cancelled first; then the run is locked, which keeps
    /// new work out, and checked again. Returns the state in which the run was found.
    async fn attempt(
        &self,
        asker: &Asker,
        run: IngestRunId,
        why: &str,
    ) -> Result<Committed<IngestStatus>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        uow.activity().acting(&asker.actor).await?;
        let open = uow.pulls().open_delegations(run).await?;
        uow.delegations()
            .cancel(&open, why, TaskStatus::Cancelled)
            .await?;
        let locked = uow
            .ingests()
            .lock(run)
            .await?
            .ok_or(IngestError::UnknownRun(run))?;
        need_opener(asker, run, &locked, "cancel")?;
        if !uow.pulls().open_delegations(run).await?.is_empty() {
            // A batch was cut or a pull queued in between; a retry finds it.
            return Err(StoreError::Contended("the run got more work meanwhile".into()).into());
        }
        end_run(&mut uow, run, CANCELLED, why, &asker.actor).await?;
        Ok(uow.commit(locked.status).await?)
    }
}

/// The failure kind of a cancelled run. Its status is `failed`, which every client knows.
pub const CANCELLED: &str = "cancelled";
