//! `POST /delegations/{id}/cancel` and `POST /delegations/{id}/redelegate`: what a caller does about what it handed over.

use std::sync::Arc;
use std::time::Duration;

use auth::{Permit, act};
use domain::delegation::{DelegationError, MOST_RETRIES, preview};
use domain::task::TaskAccess;
use domain::{DelegationId, DelegationStatus, TaskStatus};
use ports::ledger::DelegationFacts;
use ports::ledger_queries::DelegationView;
use ports::{Committed, Ledger, Repos, Store, UnitOfWork, Wakes, inbox_topic, work_topic};

use crate::delegate::party;
use crate::failure::Failure;
use crate::retry::retried;
use crate::task_access::{Asker, need};

/// Calls delegations off, and hands them out again.
pub struct CallOffDelegation {
    store: Arc<dyn Store>,
    ledger: Arc<dyn Ledger>,
    wakes: Arc<dyn Wakes>,
}

/// Who asks: a party and its rights.
struct By {
    asker: Asker,
    party: String,
}

impl CallOffDelegation {
    /// A use case on these ports.
    pub fn new(store: Arc<dyn Store>, ledger: Arc<dyn Ledger>, wakes: Arc<dyn Wakes>) -> Self {
        Self { store, ledger, wakes }
    }

    /// Ends it as failed, whoever holds it; the holder learns of it at the next beat, and what it brings is refused. Its task waits again.
    /// Again changes nothing.
    pub async fn call_off(
        &self,
        permit: Permit<act::UseDelegations>,
        id: &DelegationId,
        reason: Option<&str>,
    ) -> Result<DelegationView, Failure> {
        let by = By {
            party: party(&permit)?.to_string(),
            asker: Asker::of(&permit),
        };
        let why = match reason {
            Some(reason) => format!("called off by {}: {reason}", by.party),
            None => format!("called off by {}", by.party),
        };
        let facts = retried!(self.call_off_once(&by, id, &preview(&why)))?.into_inner();
        self.wakes.wake(&inbox_topic(&facts.caller));
        self.view(id).await
    }

    async fn call_off_once(
        &self,
        by: &By,
        id: &DelegationId,
        why: &str,
    ) -> Result<Committed<DelegationFacts>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let facts = callers(&mut *uow, by, "call off", id).await?;
        uow.activity().acting(&by.asker.actor).await?;
        let ended = uow
            .delegations()
            .call_off(std::slice::from_ref(id), why, TaskStatus::Queued)
            .await?;
        if !ended.is_empty() {
            return Ok(uow.commit(facts).await?);
        }
        let facts = callers(&mut *uow, by, "call off", id).await?;
        let was_called_off = facts
            .ended_with
            .as_deref()
            .is_some_and(|end| end.starts_with("called off by "));
        if facts.status == DelegationStatus::Failed && was_called_off {
            return Ok(uow.commit(facts).await?);
        }
        Err(DelegationError::Over {
            id: id.to_string(),
            status: facts.status,
        }
        .into())
    }

    /// Hands what got stuck or failed out again, as a new delegation with an id of its own, as much time as the first one had, and a count
    /// that says how often its task was delegated before. Below a parent only while the caller holds that, and for no longer.
    pub async fn redelegate(
        &self,
        permit: Permit<act::UseDelegations>,
        id: &DelegationId,
    ) -> Result<DelegationView, Failure> {
        let by = By {
            party: party(&permit)?.to_string(),
            asker: Asker::of(&permit),
        };
        let (next, callee) = retried!(self.redelegate_once(&by, id))?.into_inner();
        self.wakes.wake(&work_topic(&callee));
        self.view(&next).await
    }

    async fn redelegate_once(
        &self,
        by: &By,
        id: &DelegationId,
    ) -> Result<Committed<(DelegationId, String)>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let facts = callers(&mut *uow, by, "hand out again", id).await?;
        if !matches!(facts.status, DelegationStatus::Stuck | DelegationStatus::Failed) {
            let status = facts.status;
            return Err(DelegationError::NotOver {
                id: id.to_string(),
                status,
            }
            .into());
        }
        if facts.retry_count >= MOST_RETRIES {
            let retries = facts.retry_count;
            return Err(DelegationError::RetriesExhausted {
                id: id.to_string(),
                retries,
            }
            .into());
        }
        uow.activity().acting(&by.asker.actor).await?;
        // As for handing it over the first time.
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
            Some(by) => DelegationError::HandedOutAgain {
                id: id.to_string(),
                by: by.to_string(),
            },
            None => DelegationError::CannotGoOn(id.to_string()),
        }
        .into())
    }

    async fn view(&self, id: &DelegationId) -> Result<DelegationView, Failure> {
        let view = self.ledger.delegation(id).await?;
        Ok(view.ok_or_else(|| DelegationError::UnknownDelegation(id.to_string()))?)
    }
}

/// What is known of a delegation, for its caller and for admins; its callee may see it and not do this.
async fn callers(
    repos: &mut dyn Repos,
    by: &By,
    what: &'static str,
    id: &DelegationId,
) -> Result<DelegationFacts, Failure> {
    let unknown = || DelegationError::UnknownDelegation(id.to_string());
    let facts = repos.delegations().find(id).await?.ok_or_else(unknown)?;
    // The server hands its own work out again by itself; its tasks are cancelled as tasks.
    let is_own = facts.caller.starts_with("hallmark:");
    if !is_own && (facts.caller == by.party || by.asker.manages_all) {
        return Ok(facts);
    }
    if facts.callee == by.party || by.asker.manages_all {
        return Err(DelegationError::NotAllowed {
            id: id.to_string(),
            what,
            who: "caller",
        }
        .into());
    }
    Err(unknown().into())
}
