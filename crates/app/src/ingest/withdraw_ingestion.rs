//! `POST /ingestions/{id}/withdraw` and `/restore`: withdraws the records of a run together, and lets them come back
//! (EDG-4).
//!
//! The withdrawal is one fact in one short transaction, however many records the run has: from its commit on, each of
//! them answers that it is withdrawn, takes no new version, and is missing in tables read as of a later time. Tables of
//! now follow in steps of their own (`follow_withdrawals.rs`).

use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use domain::ingest::run::IngestError;
use domain::{Actor, IngestRunId, Reason, Withdrawal, WithdrawalSubject};
use ports::data::WithdrawalProgress;
use ports::ingest::LockedIngestRun;
use ports::{Committed, Store, UnitOfWork};
use serde_json::{Value, json};

use crate::access::withdrawal::{RUN_RESTORED, RUN_WITHDRAWN, event, need};
use crate::failure::Failure;
use crate::ingest::follow_withdrawals::FollowWithdrawals;
use crate::retry::retried;

/// How long a request lets the tables follow; the servers do the rest in the background.
const PATIENCE: Duration = Duration::from_secs(10);

/// A run after a withdrawal or restore.
#[derive(Clone, Debug)]
pub struct RunState {
    /// The run.
    pub run: IngestRunId,
    /// The withdrawal in force, if its records are withdrawn.
    pub withdrawal: Option<Withdrawal>,
    /// How far the tables follow.
    pub progress: WithdrawalProgress,
}

/// Withdraws and restores the records of ingest runs.
pub struct WithdrawIngestion {
    store: Arc<dyn Store>,
    tables: FollowWithdrawals,
}

impl WithdrawIngestion {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            tables: FollowWithdrawals::new(Arc::clone(&store)),
            store,
        }
    }

    /// Withdraws the records whose newest version a run published. The run must have ended. Withdrawing again changes
    /// nothing: the first reason stays, and the progress is returned.
    #[tracing::instrument(name = "app.withdraw_ingestion.withdraw", skip_all, fields(ingest_run = %run))]
    pub async fn withdraw(
        &self,
        permit: Permit<act::WithdrawOwnRecords>,
        run: IngestRunId,
        reason: Reason,
    ) -> Result<RunState, Failure> {
        let withdrawal = retried!(self.withdraw_once(&permit, run, &reason))?.into_inner();
        Ok(RunState {
            run,
            withdrawal: Some(withdrawal),
            progress: self.tables.follow(run, PATIENCE).await?,
        })
    }

    /// Restores the records of a run. A record that was also withdrawn itself stays withdrawn.
    #[tracing::instrument(name = "app.withdraw_ingestion.restore", skip_all, fields(ingest_run = %run))]
    pub async fn restore(
        &self,
        permit: Permit<act::WithdrawOwnRecords>,
        run: IngestRunId,
        reason: Option<Reason>,
    ) -> Result<RunState, Failure> {
        retried!(self.restore_once(&permit, run, reason.as_ref()))?.into_inner();
        Ok(RunState {
            run,
            withdrawal: None,
            progress: self.tables.follow(run, PATIENCE).await?,
        })
    }

    async fn withdraw_once(
        &self,
        permit: &Permit<act::WithdrawOwnRecords>,
        run: IngestRunId,
        reason: &Reason,
    ) -> Result<Committed<Withdrawal>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = lock(&mut uow, permit, run).await?;
        if let Some(withdrawal) = uow.withdrawals().of_run(run).await? {
            return Ok(uow.commit(withdrawal).await?);
        }
        let (subject, actor) = (WithdrawalSubject::Run(run), permit.actor());
        let withdrawal = uow.withdrawals().withdraw(subject, &actor, reason).await?;
        let payload = payload(run, &locked, Some(reason));
        uow.activity()
            .append(&event(RUN_WITHDRAWN, subject, &actor, payload))
            .await?;
        Ok(uow.commit(withdrawal).await?)
    }

    async fn restore_once(
        &self,
        permit: &Permit<act::WithdrawOwnRecords>,
        run: IngestRunId,
        reason: Option<&Reason>,
    ) -> Result<Committed<()>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let locked = lock(&mut uow, permit, run).await?;
        if uow.withdrawals().of_run(run).await?.is_some() {
            let (subject, actor) = (WithdrawalSubject::Run(run), permit.actor());
            uow.withdrawals().restore(subject, &actor, reason).await?;
            let payload = payload(run, &locked, reason);
            uow.activity()
                .append(&event(RUN_RESTORED, subject, &actor, payload))
                .await?;
        }
        Ok(uow.commit(()).await?)
    }
}

/// Locks a run that has ended and whose records the caller may withdraw. Strangers do not find out which runs exist.
async fn lock(
    uow: &mut UnitOfWork,
    permit: &Permit<act::WithdrawOwnRecords>,
    run: IngestRunId,
) -> Result<LockedIngestRun, Failure> {
    let locked = uow.ingests().lock(run).await?;
    let owners: Vec<Actor> = locked.iter().map(|locked| locked.opened_by.clone()).collect();
    need(permit, &owners)?;
    let locked = locked.ok_or(IngestError::UnknownRun(run))?;
    if locked.status.is_active() {
        return Err(IngestError::Active {
            run,
            status: locked.status,
        }
        .into());
    }
    Ok(locked)
}

fn payload(run: IngestRunId, locked: &LockedIngestRun, reason: Option<&Reason>) -> Value {
    json!({
        "ingest_run_id": run.to_string(), "convention_id": locked.convention.as_str(), "reason": reason.map(Reason::as_str),
    })
}
