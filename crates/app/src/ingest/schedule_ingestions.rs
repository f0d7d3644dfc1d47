//! Opening ingest runs by their convention's schedule (WC-D20).
//!
//! Invariant: for each time of a schedule at most one run is opened, by however many servers. Who can break it: two
//! servers that check at once; so each checks again under the convention's lock. A time that comes while a run is
//! active waits until that run ends; of times that passed meanwhile only the newest counts.

use std::sync::Arc;

use domain::ingest::run::DEFAULT_BATCH_SIZE;
use domain::{Actor, ConventionSlug, IngestMode, IngestRunId, Schedule};
use ports::ingest::NewIngestRun;
use ports::{Committed, Ids, IngestQueries, Store, UnitOfWork, WorkQueue};
use time::OffsetDateTime;

use crate::failure::Failure;
use crate::ingest::pulls::open_run;
use crate::retry::retried;

/// Opens scheduled runs.
pub struct ScheduleIngestions {
    store: Arc<dyn Store>,
    ids: Arc<dyn Ids>,
    queue: Arc<dyn WorkQueue>,
    ingests: Arc<dyn IngestQueries>,
}

impl ScheduleIngestions {
    /// Creates the use case over these ports.
    pub fn new(
        store: Arc<dyn Store>,
        ids: Arc<dyn Ids>,
        queue: Arc<dyn WorkQueue>,
        ingests: Arc<dyn IngestQueries>,
    ) -> Self {
        Self {
            store,
            ids,
            queue,
            ingests,
        }
    }

    /// Opens what is due by the database's clock. Returns the number of opened runs.
    pub async fn run(&self) -> Result<usize, Failure> {
        let mut opened = 0;
        for one in self.ingests.schedules().await? {
            // It was checked at deploy. What an older server accepted is logged and skipped.
            let schedule = match Schedule::parse(&one.cron) {
                Ok(schedule) => schedule,
                Err(invalid) => {
                    tracing::warn!(convention = %one.convention, %invalid, "a schedule is not a valid cron expression; it opens no runs");
                    continue;
                }
            };
            let after = one.last.map_or(one.deployed_at, |last| last.max(one.deployed_at));
            let Some(due) = schedule.due(after, one.now) else {
                continue;
            };
            if one.active {
                continue;
            }
            if retried!(self.open(&one.convention, due))?.into_inner() {
                tracing::info!(convention = %one.convention, %due, "a scheduled ingest run was opened");
                opened += 1;
            }
        }
        if opened > 0 {
            self.queue.notify();
        }
        Ok(opened)
    }

    async fn open(&self, slug: &ConventionSlug, due: OffsetDateTime) -> Result<Committed<bool>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        uow.conventions().lock(slug).await?;
        let convention = uow.conventions().find(slug).await?;
        let Some((convention, schedule)) = convention.and_then(|convention| {
            let schedule = convention.ingester.as_ref()?.schedule.clone()?;
            Some((convention, schedule))
        }) else {
            return Ok(uow.commit(false).await?);
        };
        if uow.pulls().has_run(slug, Some(due)).await? {
            return Ok(uow.commit(false).await?);
        }
        let since = uow.pulls().last_full_pull(slug).await?;
        let run = NewIngestRun {
            id: IngestRunId::from_uuid(self.ids.new_id()),
            convention: slug.clone(),
            mode: IngestMode::Pull,
            schema: convention.schema,
            batch_size: DEFAULT_BATCH_SIZE,
            limit: schedule.limit.and_then(|limit| u64::try_from(limit).ok()),
            since,
            scheduled_for: Some(due),
            opened_by: Actor::System,
        };
        let opened = open_run(&mut *uow, &run).await?.is_none();
        Ok(uow.commit(opened).await?)
    }
}
