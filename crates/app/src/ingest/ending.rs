//! How ingest runs and their batches end early, and how a completed run is announced.

use domain::ingest::run::IngestError;
use domain::{Actor, Event, IngestRunId};
use ports::UnitOfWork;
use ports::ingest::LockedIngestRun;
use serde_json::json;

use crate::access::task::Asker;
use crate::failure::Failure;
use crate::ingest::batches::BatchParams;
use crate::ingest::pulls::queue_next_pull;

/// Refuses to end a run that another party opened: a caller who may push could else cut off the pushes of all others. Admins
/// may end every run, and everyone who may ingest one that the server opened itself.
pub(crate) fn need_opener(
    asker: &Asker,
    run: IngestRunId,
    locked: &LockedIngestRun,
    what: &'static str,
) -> Result<(), IngestError> {
    let own = locked.opened_by == asker.actor || locked.opened_by == Actor::System;
    if own || asker.manages_all {
        Ok(())
    } else {
        Err(IngestError::NotOpener { run, what })
    }
}

/// Ends a run early if it is active. Returns whether it was.
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

/// The reason code of records whose batch failed for good.
pub(crate) const EXHAUSTED: &str = "retries_exhausted";

/// Marks a batch as failed for the reason `code`, and ends its run if it was the last one.
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
    let done = uow.ingests().complete_if_done(params.run()).await?;
    if let Some(published) = done {
        uow.activity()
            .append(&completed_event(params.run(), published))
            .await?;
    }
    Ok(())
}

/// Creates the event of a completed run that published this many records (WC-1.7).
pub(crate) fn completed_event(run: IngestRunId, published: u64) -> Event {
    Event {
        kind: "IngestCompleted",
        subject: format!("ingest_run:{run}"),
        actor: Actor::System,
        payload: json!({"ingest_run_id": run.to_string(), "total_published": published}),
    }
}
