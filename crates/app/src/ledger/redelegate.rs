//! `POST /delegations/{id}/redelegate`: a caller redelegates what got stuck or failed (LED-6).

use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use domain::ledger::delegation::{DelegationError, MAX_RETRIES};
use domain::ledger::task::TaskAccess;
use domain::{DelegationId, DelegationStatus};
use ports::ledger::DelegationView;
use ports::{Committed, LedgerQueries, Notifier, Store, UnitOfWork, work_topic};

use crate::access::delegation::{By, accepted, callers, viewed};
use crate::access::task::need;
use crate::failure::Failure;
use crate::retry::retried;

/// Redelegates.
pub struct Redelegate {
    store: Arc<dyn Store>,
    ledger: Arc<dyn LedgerQueries>,
    notifier: Arc<dyn Notifier>,
}

impl Redelegate {
    /// Creates the use case over these ports.
    pub fn new(store: Arc<dyn Store>, ledger: Arc<dyn LedgerQueries>, notifier: Arc<dyn Notifier>) -> Self {
        Self {
            store,
            ledger,
            notifier,
        }
    }

    /// Redelegates a stuck or failed delegation as a new one, with its own id, the same time span as the first one,
    /// and an increased retry count. Below a parent, this works only while the caller holds that, and for no longer.
    #[tracing::instrument(name = "app.redelegate", skip_all, fields(delegation = %id))]
    pub async fn run(
        &self,
        permit: Permit<act::UseDelegations>,
        id: &DelegationId,
    ) -> Result<DelegationView, Failure> {
        let by = By::of(&permit)?;
        let (next, callee) = retried!(self.attempt(&by, id))?.into_inner();
        self.notifier.notify(&work_topic(&callee));
        viewed(&*self.ledger, &next).await
    }

    async fn attempt(
        &self,
        by: &By,
        id: &DelegationId,
    ) -> Result<Committed<(DelegationId, String)>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let facts = callers(&mut *uow, by, "redelegate", id).await?;
        let id = &facts.id;
        if !matches!(facts.status, DelegationStatus::Stuck | DelegationStatus::Failed) {
            let status = facts.status;
            return Err(DelegationError::NotOver {
                id: id.to_string(),
                status,
            }
            .into());
        }
        if facts.retry_count >= MAX_RETRIES {
            let retries = facts.retry_count;
            return Err(DelegationError::RetriesExhausted {
                id: id.to_string(),
                retries,
            }
            .into());
        }
        // The same rules as for the first delegation.
        accepted(&mut *uow, &facts.callee, &facts.caller).await?;
        uow.activity().acting(&by.asker.actor).await?;
        if let Some(parent) = &facts.parent {
            uow.delegations()
                .hold_parent(parent, None, &facts.caller)
                .await?
                .ok_or_else(|| DelegationError::ParentNotHeld(parent.to_string()))?;
        }
        if let Some(task) = facts.task {
            let locked = uow.tasks().lock(task, &by.asker.actor).await?;
            let access = locked
                .as_ref()
                .and_then(|task| by.asker.access(&task.creator, task.grant));
            need(task, "delegate", access, TaskAccess::Operate)?;
        }
        let next = id.retry(facts.retry_count + 1);
        if facts.redelegated_as.is_none()
            && uow
                .delegations()
                .redelegate(id, &next, Duration::ZERO, true)
                .await?
        {
            return Ok(uow.commit((next, facts.callee)).await?);
        }
        let by = uow
            .delegations()
            .find(id)
            .await?
            .and_then(|facts| facts.redelegated_as);
        Err(match by {
            Some(by) => DelegationError::AlreadyRetried {
                id: id.to_string(),
                by: by.to_string(),
            },
            None => DelegationError::CannotGoOn(id.to_string()),
        }
        .into())
    }
}
