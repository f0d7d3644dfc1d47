//! How the server's own work ends: failed claims are retried or given up, and ingest runs end early.

use domain::ledger::delegation::backoff;
use ports::ledger::DelegationEnd;
use ports::{Claim, Committed, Store, UnitOfWork};

use crate::failure::Failure;
use crate::own_tasks::delegation;
use crate::retry::retried;
use crate::work::run_hooks::Ran;

/// The result of ending a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// The end is stored.
    Done,
    /// The claim was lost.
    Late,
    /// The run ended early, so nothing of it is stored.
    RunIsOver,
}

/// Stores each hook's execution, including failed ones.
pub(crate) async fn insert_runs(uow: &mut UnitOfWork, ran: &[Ran]) -> Result<(), Failure> {
    for one in ran {
        uow.runs().insert(&one.run).await?;
    }
    Ok(())
}

/// Ends a claim as failed and queues its task again if it was delegated fewer than `most` times. Returns `None` if
/// the claim was lost.
pub(crate) async fn fail_for_now(
    uow: &mut UnitOfWork,
    claim: &Claim,
    what: &str,
    why: &str,
    most: u32,
) -> Result<Option<bool>, Failure> {
    let again = claim.retry_count < most;
    let end = if again {
        DelegationEnd::FailedForNow(why.to_owned())
    } else {
        DelegationEnd::Failed(why.to_owned())
    };
    if !uow
        .delegations()
        .finish(&claim.delegation, claim.attempt, end)
        .await?
    {
        return Ok(None);
    }
    if again {
        let retry = claim.retry_count + 1;
        uow.delegations()
            .create(&delegation(
                claim.task,
                claim.kind.as_str(),
                retry,
                what,
                backoff(retry),
            ))
            .await?;
    }
    Ok(Some(again))
}

/// Ends a claim that needs no more work.
pub(crate) async fn end_claim(store: &dyn Store, claim: &Claim, why: &str) -> Result<(), Failure> {
    retried!(end_claim_once(store, claim, why)).map(|_| ())
}

async fn end_claim_once(store: &dyn Store, claim: &Claim, why: &str) -> Result<Committed<()>, Failure> {
    let mut uow = UnitOfWork::begin(store).await?;
    uow.delegations()
        .finish(
            &claim.delegation,
            claim.attempt,
            DelegationEnd::Failed(why.to_owned()),
        )
        .await?;
    Ok(uow.commit(()).await?)
}
