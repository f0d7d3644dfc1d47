//! `POST /delegations/{id}/cancel`: a caller no longer needs what it delegated.

use std::sync::Arc;

use auth::{Permit, act};
use domain::ledger::delegation::{DelegationError, preview};
use domain::{DelegationId, DelegationStatus, TaskStatus};
use ports::ledger::{DelegationFacts, DelegationView};
use ports::{Committed, LedgerQueries, Notifier, Store, UnitOfWork, inbox_topic};

use crate::access::delegation::{By, callers, viewed};
use crate::failure::Failure;
use crate::retry::retried;

/// Cancels delegations.
pub struct CancelDelegation {
    store: Arc<dyn Store>,
    ledger: Arc<dyn LedgerQueries>,
    notifier: Arc<dyn Notifier>,
}

impl CancelDelegation {
    /// Creates the use case over these ports.
    pub fn new(store: Arc<dyn Store>, ledger: Arc<dyn LedgerQueries>, notifier: Arc<dyn Notifier>) -> Self {
        Self {
            store,
            ledger,
            notifier,
        }
    }

    /// Ends it as failed, even if it is held. Its holder learns of it at the next heartbeat, and a late result is
    /// refused. Its task waits again. Repeating it changes nothing.
    #[tracing::instrument(name = "app.cancel_delegation", skip_all, fields(delegation = %id))]
    pub async fn run(
        &self,
        permit: Permit<act::UseDelegations>,
        id: &DelegationId,
        reason: Option<&str>,
    ) -> Result<DelegationView, Failure> {
        let by = By::of(&permit)?;
        let why = match reason {
            Some(reason) => format!("delegation cancelled by {}: {reason}", by.party),
            None => format!("delegation cancelled by {}", by.party),
        };
        let facts = retried!(self.attempt(&by, id, &preview(&why)))?.into_inner();
        self.notifier.notify(&inbox_topic(&facts.caller));
        viewed(&*self.ledger, &facts.id).await
    }

    async fn attempt(
        &self,
        by: &By,
        id: &DelegationId,
        why: &str,
    ) -> Result<Committed<DelegationFacts>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let facts = callers(&mut *uow, by, "cancel", id).await?;
        uow.activity().acting(&by.asker.actor).await?;
        let ended = uow
            .delegations()
            .cancel(std::slice::from_ref(&facts.id), why, TaskStatus::Queued)
            .await?;
        if !ended.is_empty() {
            return Ok(uow.commit(facts).await?);
        }
        let facts = callers(&mut *uow, by, "cancel", id).await?;
        let was_cancelled = facts
            .ended_with
            .as_deref()
            .is_some_and(|end| end.starts_with("delegation cancelled by "));
        if facts.status == DelegationStatus::Failed && was_cancelled {
            return Ok(uow.commit(facts).await?);
        }
        Err(DelegationError::Over {
            id: facts.id.to_string(),
            status: facts.status,
        }
        .into())
    }
}
