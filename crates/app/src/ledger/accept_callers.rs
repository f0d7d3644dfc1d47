//! `/callees/me/callers`: a callee says from whom it takes work (ISO-5).

use std::collections::BTreeSet;
use std::sync::Arc;

use auth::{Permit, act};
use domain::{Event, Party};
use ports::ledger::CallerList;
use ports::{Committed, Store, UnitOfWork};
use serde_json::json;

use crate::access::delegation::party;
use crate::failure::Failure;
use crate::retry::retried;

/// A callee, and from whom it takes work; without a list from everyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedCallers {
    /// The callee.
    pub callee: Party,
    /// Its list.
    pub list: Option<CallerList>,
}

/// Reads and sets the list of the caller of this operation, who is the callee.
pub struct AcceptCallers {
    store: Arc<dyn Store>,
}

impl AcceptCallers {
    /// Creates the use case over this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Returns the callee's list.
    #[tracing::instrument(name = "app.accept_callers.read", skip_all)]
    pub async fn read(
        &self,
        permit: Permit<act::UseDelegations>,
    ) -> Result<Committed<AcceptedCallers>, Failure> {
        let callee = party(&permit)?;
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        let list = uow.callees().callers(callee.as_str()).await?;
        Ok(uow.commit(AcceptedCallers { callee, list }).await?)
    }

    /// Replaces the callee's list, or removes it. When this returns, no delegation follows that the new list does not
    /// accept, and each that the old one accepted can be claimed or read. Those stay with the callee.
    #[tracing::instrument(name = "app.accept_callers.set", skip_all)]
    pub async fn set(
        &self,
        permit: Permit<act::UseDelegations>,
        callers: Option<BTreeSet<Party>>,
    ) -> Result<Committed<AcceptedCallers>, Failure> {
        let callee = party(&permit)?;
        let names: Option<Vec<String>> =
            callers.map(|callers| callers.iter().map(ToString::to_string).collect());
        retried!(self.attempt(&permit, &callee, names.as_deref()))
    }

    async fn attempt(
        &self,
        permit: &Permit<act::UseDelegations>,
        callee: &Party,
        callers: Option<&[String]>,
    ) -> Result<Committed<AcceptedCallers>, Failure> {
        let mut uow = UnitOfWork::begin(&*self.store).await?;
        uow.callees().set_callers(callee.as_str(), callers).await?;
        let list = uow.callees().callers(callee.as_str()).await?;
        uow.activity()
            .append(&Event {
                kind: "CalleeCallersSet",
                subject: callee.to_string(),
                actor: permit.actor(),
                payload: json!({"callee_id": callee.as_str(), "callers": callers}),
            })
            .await?;
        let callee = callee.clone();
        Ok(uow.commit(AcceptedCallers { callee, list }).await?)
    }
}
