//! How the server's own work ends: claims that fail, are tried again, or are given up, and ingest runs that end before their time.

use domain::delegation::backoff;
use domain::ingest::IngestError;
use domain::{Actor, Event, IngestRunId};
use ports::ledger::DelegationEnd;
use ports::{Claim, Committed, Store, UnitOfWork};
use serde_json::json;

use crate::batches::{BatchParams, delegation};
use crate::failure::Failure;
use crate::pulls::queue_next_pull;
use crate::retry::retried;
use crate::run_hooks::Ran;

/// What the end of a claim's work came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// It is done.
    Done,
    /// The claim was taken away.
    Late,
    /// The run ended before its time, so nothing of it is kept.
    RunIsOver,
}

/// Keeps what each hook's execution was, also of those that failed.
pub(crate) async fn insert_runs(uow: &mut UnitOfWork, ran: &[Ran]) -> Result<(), Failure> {
    for one in ran {
        uow.runs().insert(&one.run).await?;
    }
    Ok(())
}

/// Ends a claim as failed and queues its task again if it was delegated fewer than `most` times; `None` when the claim was taken away.
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

/// Ends a claim about which there is nothing more to do.
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

/// Ends a run before its time, if it is active; gives whether it was.
pub(crate) async fn end_run(
    uow: &mut UnitOfWork,
    run: IngestRunId,
    kind: &str,
    why: &str,
    actor: &Actor,
) -> Result<bool, Failure> {
    let locked = uow
        .ingests()
        .lock(run)
        .await?
        .ok_or(IngestError::UnknownRun(run))?;
    if !locked.status.is_active() {
        return Ok(false);
    }
    uow.pulls().abort(run, kind, why).await?;
    uow.activity()
        .append(&Event {
            kind: "IngestRunFailed",
            subject: format!("ingest_run:{run}"),
            actor: actor.clone(),
            payload: json!({"ingest_run_id": run.to_string(), "convention_id": locked.convention.as_str(), "failure_kind": kind, "failure_reason": why}),
        })
        .await?;
    Ok(true)
}

/// What is told of records whose batch was given up.
pub(crate) const EXHAUSTED: &str = "retries_exhausted";

/// Marks a batch as failed for the reason `code`, and ends its run if it was the last.
pub(crate) async fn give_up_batch(
    uow: &mut UnitOfWork,
    params: BatchParams,
    code: &str,
    why: &str,
) -> Result<(), Failure> {
    uow.ingests().lock(params.run()).await?;
    uow.ingests()
        .fail_batch(params.run(), params.batch, code, why)
        .await?;
    queue_next_pull(&mut **uow, params.run()).await?;
    if uow.ingests().complete_if_done(params.run()).await? {
        uow.activity().append(&completed_event(params.run())).await?;
    }
    Ok(())
}

pub(crate) fn completed_event(run: IngestRunId) -> Event {
    Event {
        kind: "IngestCompleted",
        subject: format!("ingest_run:{run}"),
        actor: Actor::System,
        payload: json!({"ingest_run_id": run.to_string()}),
    }
}
