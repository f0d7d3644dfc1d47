//! Lets the tables follow the withdrawals and restores of whole runs, in short transactions (EDG-4).
//!
//! Invariant: at the end of its progress, every head of a run's records is as the withdrawals say. Who can break it: a
//! server that dies on the way (each step commits its place, and every server resumes what is unfinished), two servers at
//! one run (a step locks the progress), a restore on the way (it begins the progress anew).

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::IngestRunId;
use ports::data::WithdrawalProgress;
use ports::{Committed, Store, UnitOfWork};

use crate::failure::Failure;
use crate::retry::retried;

/// How many records one transaction takes, so that it holds their locks for a moment only.
const STEP: u32 = 2000;
/// How long one round in the background takes at most.
const ROUND: Duration = Duration::from_mins(5);

/// Lets the tables follow withdrawals of runs.
pub struct FollowWithdrawals {
    store: Arc<dyn Store>,
}

impl FollowWithdrawals {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Lets the tables follow for one run, for about `patience`.
    pub(crate) async fn follow(
        &self,
        run: IngestRunId,
        patience: Duration,
    ) -> Result<WithdrawalProgress, Failure> {
        let begun = Instant::now();
        loop {
            let progress = retried!(self.step(run))?.into_inner();
            if progress.finished || begun.elapsed() >= patience {
                return Ok(progress);
            }
        }
    }

    /// Lets the tables follow for the runs whose progress is unfinished, five minutes at most. Returns how many there were.
    #[tracing::instrument(name = "app.follow_withdrawals", skip_all)]
    pub async fn run(&self) -> Result<usize, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let runs = uow.withdrawals().unfinished().await?;
        let runs = uow.commit(runs).await?.into_inner();
        let begun = Instant::now();
        for run in &runs {
            self.follow(*run, ROUND.saturating_sub(begun.elapsed())).await?;
        }
        Ok(runs.len())
    }

    async fn step(&self, run: IngestRunId) -> Result<Committed<WithdrawalProgress>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let progress = uow.withdrawals().proceed(run, STEP).await?;
        Ok(uow.commit(progress).await?)
    }
}
