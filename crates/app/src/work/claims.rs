//! How the server's own work ends: claims are ended, failed ones are retried or given up, and late ones are refused.

use domain::ledger::delegation::{MAX_RETRIES, backoff};
use ports::ledger::DelegationEnd;
use ports::{Claim, Committed, Store, UnitOfWork, WorkQueue};

use crate::failure::Failure;
use crate::metrics::WorkEnd;
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

/// What logs and the attempt log call a kind of work.
pub(crate) struct Words {
    /// The work itself.
    pub(crate) noun: &'static str,
    /// What was done with it.
    pub(crate) done: &'static str,
    /// Why it needs no more work.
    pub(crate) over: &'static str,
}

/// Returns how often the claim's task failed before, as the failure policy counts it: after the last retry, nothing
/// is tried again.
pub(crate) async fn retries(uow: &mut UnitOfWork, claim: &Claim) -> Result<u32, Failure> {
    let failures = uow.delegations().failures_of_task(claim.task).await?;
    Ok(if claim.retry_count < MAX_RETRIES {
        failures
    } else {
        u32::MAX
    })
}

/// Stores each hook's execution, including failed ones.
pub(crate) async fn insert_runs(uow: &mut UnitOfWork, ran: &[Ran]) -> Result<(), Failure> {
    for one in ran {
        uow.runs().insert(&one.run).await?;
    }
    Ok(())
}

/// Ends a claim's delegation, as the first write of a unit of work. Returns whether the claim was still held; if not,
/// the unit of work must write nothing.
pub(crate) async fn end_held(
    uow: &mut UnitOfWork,
    claim: &Claim,
    end: DelegationEnd,
) -> Result<bool, Failure> {
    let (id, attempt) = (&claim.delegation, claim.attempt);
    Ok(uow.delegations().finish(id, attempt, end).await?)
}

/// Drops a unit of work, so that nothing of it exists, and commits `outcome` in an empty one.
pub(crate) async fn instead<T: Send>(
    store: &dyn Store,
    uow: UnitOfWork,
    outcome: T,
) -> Result<Committed<T>, Failure> {
    drop(uow);
    Ok(UnitOfWork::begin(store).await?.commit(outcome).await?)
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
    if !end_held(uow, claim, end).await? {
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

/// Does what is left to do after the unit of work that ended a claim.
pub(crate) async fn end_committed(
    store: &dyn Store,
    queue: &dyn WorkQueue,
    claim: &Claim,
    finished: Finished,
    words: &Words,
) -> Result<WorkEnd, Failure> {
    match finished {
        Finished::Done => Ok(WorkEnd::Done),
        Finished::RunIsOver => end_claim(store, claim, words.over).await,
        Finished::Late => {
            let Words { noun, done, .. } = words;
            tracing::warn!(delegation = %claim.delegation, attempt = claim.attempt, "a late {noun} was refused: another worker has its claim");
            let what = format!("the {noun} was {done}, but its claim was lost to another worker");
            queue.refuse_late(claim, &what).await?;
            Ok(WorkEnd::Lost)
        }
    }
}

/// Ends a claim that needs no more work.
pub(crate) async fn end_claim(store: &dyn Store, claim: &Claim, why: &str) -> Result<WorkEnd, Failure> {
    retried!(end_claim_once(store, claim, why)).map(|_| WorkEnd::Done)
}

async fn end_claim_once(store: &dyn Store, claim: &Claim, why: &str) -> Result<Committed<()>, Failure> {
    let mut uow = UnitOfWork::begin(store).await?;
    end_held(&mut uow, claim, DelegationEnd::Failed(why.to_owned())).await?;
    Ok(uow.commit(()).await?)
}
