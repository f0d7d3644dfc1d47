//! `POST /ingestions`: opens an ingest run; one active run per convention, which the database decides (WC-D32).

use std::num::NonZeroU32;
use std::sync::Arc;

use auth::{Permit, act};
use domain::ingest::run::{DEFAULT_BATCH_SIZE, IngestError, MAX_BATCH_SIZE};
use domain::{Actor, ConventionSlug, IngestMode, IngestRunId, Invalid};
use ports::ingest::{IngestRunView, NewIngestRun};
use ports::{Committed, Ids, IngestQueries, Store, UnitOfWork, WorkQueue};
use time::OffsetDateTime;

use crate::failure::Failure;
use crate::ingest::pulls::open_run;
use crate::retry::retried;

/// A request for an ingest run.
#[derive(Clone, Debug)]
pub struct OpenIngestionRequest {
    /// The convention.
    pub convention: ConventionSlug,
    /// Where the records come from.
    pub mode: IngestMode,
    /// Records per batch; from 1 to [`MAX_BATCH_SIZE`].
    pub batch_size: Option<i64>,
    /// The maximum number of records of the run.
    pub limit: Option<i64>,
    /// Pulls only what changed after this.
    pub since: Option<OffsetDateTime>,
}

/// Opens ingest runs.
pub struct OpenIngestion {
    store: Arc<dyn Store>,
    ids: Arc<dyn Ids>,
    queue: Arc<dyn WorkQueue>,
    ingests: Arc<dyn IngestQueries>,
    /// The maximum number of a caller's active runs.
    most: Option<NonZeroU32>,
}

impl OpenIngestion {
    /// Creates the use case over this store. A caller may have at most `most` active runs; `None` means no limit.
    pub fn new(
        store: Arc<dyn Store>,
        ids: Arc<dyn Ids>,
        queue: Arc<dyn WorkQueue>,
        ingests: Arc<dyn IngestQueries>,
        most: Option<NonZeroU32>,
    ) -> Self {
        Self {
            store,
            ids,
            queue,
            ingests,
            most,
        }
    }

    /// Opens a run and returns it.
    #[tracing::instrument(name = "app.open_ingestion", skip_all)]
    pub async fn run(
        &self,
        permit: Permit<act::WriteIngestions>,
        request: OpenIngestionRequest,
    ) -> Result<IngestRunView, Failure> {
        let batch_size = request
            .batch_size
            .unwrap_or_else(|| i64::from(DEFAULT_BATCH_SIZE));
        let batch_size = u32::try_from(batch_size)
            .ok()
            .filter(|n| (1..=MAX_BATCH_SIZE).contains(n));
        let batch_size = batch_size.ok_or_else(|| {
            Invalid::value(format!("must be between 1 and {MAX_BATCH_SIZE}")).of_field("batch_size")
        })?;
        if request.limit.is_some() {
            let why = if request.mode == IngestMode::Push {
                "is not allowed for a push: the client decides what it sends"
            } else {
                "must be at least 1"
            };
            if request.mode == IngestMode::Push || request.limit.is_some_and(|n| n < 1) {
                return Err(Invalid::value(why).of_field("limit").into());
            }
        }
        if request.since.is_some() && request.mode == IngestMode::Push {
            let why = "is not allowed for a push: the client decides what it sends";
            return Err(Invalid::value(why).of_field("since").into());
        }
        let actor = permit.actor();
        let opened = retried!(self.attempt(&actor, &request, batch_size))?.into_inner();
        if request.mode == IngestMode::Pull {
            self.queue.notify();
        }
        Ok(self
            .ingests
            .run(opened)
            .await?
            .ok_or(IngestError::UnknownRun(opened))?)
    }

    async fn attempt(
        &self,
        actor: &Actor,
        request: &OpenIngestionRequest,
        batch_size: u32,
    ) -> Result<Committed<IngestRunId>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let slug = &request.convention;
        let convention = uow
            .conventions()
            .find(slug)
            .await?
            .ok_or_else(|| IngestError::UnknownConvention(slug.clone()))?;
        if request.mode == IngestMode::Pull && convention.ingester.is_none() {
            return Err(IngestError::NoIngester(slug.clone()).into());
        }
        if let Some(most) = self.most.map(NonZeroU32::get)
            && uow.ingests().open_runs(actor, most).await? >= most
        {
            return Err(IngestError::TooManyRuns(most).into());
        }
        let run = NewIngestRun {
            id: IngestRunId::from_uuid(self.ids.new_id()),
            convention: slug.clone(),
            mode: request.mode,
            schema: convention.schema,
            batch_size,
            limit: request.limit.and_then(|limit| u64::try_from(limit).ok()),
            since: request.since,
            scheduled_for: None,
            opened_by: actor.clone(),
        };
        if let Some(active) = open_run(&mut *uow, &run).await? {
            return Err(IngestError::AlreadyRunning {
                convention: slug.clone(),
                run: active,
            }
            .into());
        }
        Ok(uow.commit(run.id).await?)
    }
}
