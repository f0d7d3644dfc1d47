//! Access rules for delegations: the caller cancels and redelegates, the callee ends, and admins act as the caller.

use auth::{Permit, act};
use domain::ledger::delegation::DelegationError;
use domain::{DelegationId, Party};
use ports::ledger::{DelegationFacts, DelegationView};
use ports::{LedgerQueries, Repos};

use crate::access::task::Asker;
use crate::failure::Failure;

/// Returns the party of the permit's principal. Every permit belongs to a known principal, so this is never the
/// server itself.
pub(crate) fn party<A>(permit: &Permit<A>) -> Result<Party, Failure> {
    Party::of(&permit.actor()).ok_or_else(|| auth::AuthError::MissingToken.into())
}

/// The requester: a party and its rights.
pub(crate) struct By {
    pub(crate) asker: Asker,
    pub(crate) party: String,
}

impl By {
    pub(crate) fn of(permit: &Permit<act::UseDelegations>) -> Result<Self, Failure> {
        Ok(Self {
            party: party(permit)?.to_string(),
            asker: Asker::of(permit),
        })
    }
}

/// Refuses a caller from whom the callee takes no work. It takes its own. Until the end of the unit of work the answer
/// stays true. Call it before anything of the ledger is locked.
pub(crate) async fn accepted(repos: &mut dyn Repos, callee: &str, caller: &str) -> Result<(), Failure> {
    if callee == caller || repos.callees().accepts(callee, caller).await? {
        return Ok(());
    }
    Err(DelegationError::NotAccepted {
        callee: callee.to_owned(),
        caller: caller.to_owned(),
    }
    .into())
}

/// Returns the delegation as it is now.
pub(crate) async fn viewed(ledger: &dyn LedgerQueries, id: &DelegationId) -> Result<DelegationView, Failure> {
    let view = ledger.delegation(id).await?;
    Ok(view.ok_or_else(|| DelegationError::UnknownDelegation(id.to_string()))?)
}

/// Returns the facts of a delegation for its caller and for admins, under the id that it has: the caller's own
/// delegation comes before another's of the same id. Refuses its callee, who may only see it.
pub(crate) async fn callers(
    repos: &mut dyn Repos,
    by: &By,
    what: &'static str,
    id: &DelegationId,
) -> Result<DelegationFacts, Failure> {
    let unknown = || DelegationError::UnknownDelegation(id.to_string());
    let mut found = repos.delegations().find(id).await?;
    if found.as_ref().is_none_or(|facts| facts.caller != by.party)
        && let Some(own) = repos.delegations().find(&id.of_party(&by.party)).await?
    {
        found = Some(own);
    }
    let facts = found.ok_or_else(unknown)?;
    // The server redelegates its own work automatically; its tasks are cancelled as tasks.
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
