//! `POST /ingestions/{id}/close`: the run accepts no more lines; the waiting ones become the last batch. Repeating it
//! changes nothing.

use std::sync::Arc;

use auth::{Permit, act};
use domain::ingest::run::IngestError;
use domain::{IngestMode, IngestRunId};
use ports::ingest::IngestRunView;
use ports::{Committed, IngestQueries, Store, UnitOfWork, WorkQueue};

use crate::access::task::Asker;
use crate::failure::Failure;
use crate::ingest::batches::cut_batches;
use crate::ingest::ending::{completed_event, need_opener};
use crate::retry::retried;

/// Closes ingest runs.
pub struct CloseIngestion {
    store: Arc<dyn Store>,
    queue: Arc<dyn WorkQueue>,
    ingests: Arc<dyn IngestQueries>,
}

impl CloseIngestion {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>, queue: Arc<dyn WorkQueue>, ingests: Arc<dyn IngestQueries>) -> Self {
        Self {
            store,
            queue,
            ingests,
        }
    }

    /// Closes a run and returns it.
    #[tracing::instrument(name = "app.close_ingestion", skip_all, fields(ingest_run = %run))]
    pub async fn run(
        &self,
        permit: Permit<act::WriteIngestions>,
        run: IngestRunId,
    ) -> Result<IngestRunView, Failure> {
        let asker = Asker::of(&permit);
        if retried!(self.attempt(&asker, run))?.into_inner() > 0 {
            self.queue.notify();
        }
        Ok(self.ingests.run(run).await?.ok_or(IngestError::UnknownRun(run))?)
    }

    async fn attempt(&self, asker: &Asker, run: IngestRunId) -> Result<Committed<u32>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = uow
            .ingests()
            .lock(run)
            .await?
            .ok_or(IngestError::UnknownRun(run))?;
        need_opener(asker, run, &locked, "close")?;
        if locked.mode == IngestMode::Pull {
            return Err(IngestError::NotPushed(run).into());
        }
        if locked.ingestion_finished || !locked.status.is_active() {
            return Ok(uow.commit(0).await?);
        }
        let cut = cut_batches(&mut *uow, run, &locked, &asker.actor, true).await?;
        uow.ingests().close(run).await?;
        let done = uow.ingests().complete_if_done(run).await?;
        if let Some(published) = done {
            uow.activity().append(&completed_event(run, published)).await?;
        }
        Ok(uow.commit(cut).await?)
    }
}
