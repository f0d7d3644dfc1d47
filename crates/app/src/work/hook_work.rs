//! What batches and submissions have in common: the pins, the input of the hooks, and how the work ends.

use std::time::Instant;

use async_trait::async_trait;
use domain::kind::{Coded as _, Kind};
use domain::ledger::delegation::preview;
use domain::{ConventionSlug, RecordOutcome, Rows, SchemaRef, SourceId};
use ports::{Claim, Committed, HookRecord, Store, StoreError, UnitOfWork, WorkQueue};
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::metrics::WorkEnd;
use crate::retry::retried;
use crate::work::claims::{Finished, Words, end_committed, fail_for_now, retries};
use crate::work::run_hooks::{Ran, Unit};

/// Work that runs hooks, as far as its end differs.
#[async_trait]
pub(crate) trait HookWork: Sync {
    /// What logs and the attempt log call it.
    const WORDS: Words;
    /// Its input, committed before any hook starts.
    type Prepared: Sync;

    /// Returns the store.
    fn store(&self) -> &dyn Store;
    /// Returns the queue of its claims.
    fn queue(&self) -> &dyn WorkQueue;
    /// Returns the preview of a retry.
    fn preview(&self, claim: &Claim, prepared: &Self::Prepared) -> String;
    /// Runs after the commit of the results.
    fn stored(&self) {}
    /// Gives the work up for this reason, because no retry is left. The claim is ended in the same unit of work.
    async fn give_up(
        &self,
        uow: &mut UnitOfWork,
        claim: &Claim,
        prepared: &Self::Prepared,
        why: &str,
    ) -> Result<(), Failure>;
}

/// Returns the input of the hooks without records and files. If the task has no pins yet, pins the releases that are
/// live now.
pub(crate) async fn pinned_unit(
    uow: &mut UnitOfWork,
    claim: &Claim,
    convention: &ConventionSlug,
    schema: &SchemaRef,
) -> Result<Unit, Failure> {
    let at = uow.runs().now().await?;
    let begun = Instant::now();
    let mut pins = uow.runs().pins(claim.task).await?;
    if pins.is_empty() {
        uow.runs().pin_live(claim.task, convention, schema).await?;
        pins = uow.runs().pins(claim.task).await?;
    }
    Ok(Unit {
        pins,
        records: Vec::new(),
        files: Vec::new(),
        retries: retries(uow, claim).await?,
        at,
        begun,
    })
}

/// Returns a record as hooks receive it. `bytes` is the size of its files.
pub(crate) fn hook_record(id: &SourceId, metadata: &Map<String, Value>, bytes: u64) -> HookRecord {
    HookRecord {
        id: id.clone(),
        metadata: metadata.clone(),
        size_hint_mb: mebibytes(bytes),
    }
}

/// Converts bytes to MiB, as hooks receive sizes. Exact to a KiB up to the petabytes.
fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)) / 1024.0
}

/// Returns the rows of a record that the hook passed.
pub(crate) fn rows_of<'a>(ran: &'a Ran, record: &SourceId) -> Option<&'a Rows> {
    match ran.execution.outcomes.get(record) {
        Some(RecordOutcome::Passed(rows)) => Some(rows),
        _ => None,
    }
}

/// Ends the work after the attempt to store its results, of which `stored` is the outcome.
pub(crate) async fn conclude<W: HookWork>(
    work: &W,
    claim: &Claim,
    prepared: &W::Prepared,
    stored: Result<Committed<Finished>, Failure>,
) -> Result<WorkEnd, Failure> {
    match stored {
        Ok(finished) => {
            let finished = finished.into_inner();
            if finished == Finished::Done {
                work.stored();
            }
            end_committed(work.store(), work.queue(), claim, finished, &W::WORDS).await
        }
        // No retry would change that.
        Err(Failure::Store(StoreError::Refused { reason, .. })) => {
            let why = format!("what the hooks computed cannot be stored: {reason}");
            hand_back(work, claim, prepared, &why, 0).await
        }
        // What the database refuses now it refuses again: waiting for the lease to expire would only cause delay. So
        // the claim is handed back, and retried once.
        Err(failure) if failure.kind() == Kind::Bug => {
            let noun = W::WORDS.noun;
            tracing::error!(error = &failure as &dyn std::error::Error, delegation = %claim.delegation, "a {noun} could not be stored");
            // Not the database's words: they are for the log.
            let why = "what the hooks computed could not be stored; the server's log has the cause";
            hand_back(work, claim, prepared, why, 1).await
        }
        Err(failure) => Err(failure),
    }
}

/// Fails the delegation. The task is delegated again later, or given up if it was retried `most` times.
pub(crate) async fn hand_back<W: HookWork>(
    work: &W,
    claim: &Claim,
    prepared: &W::Prepared,
    why: &str,
    most: u32,
) -> Result<WorkEnd, Failure> {
    let queued = retried!(hand_back_once(work, claim, prepared, &preview(why), most))?.into_inner();
    if queued {
        work.queue().notify();
    }
    Ok(WorkEnd::Done)
}

/// Returns whether the task was delegated again.
async fn hand_back_once<W: HookWork>(
    work: &W,
    claim: &Claim,
    prepared: &W::Prepared,
    why: &str,
    most: u32,
) -> Result<Committed<bool>, Failure> {
    let mut uow = UnitOfWork::begin(work.store()).await?;
    let what = work.preview(claim, prepared);
    let again = fail_for_now(&mut uow, claim, &what, why, most).await?;
    if again == Some(false) {
        work.give_up(&mut uow, claim, prepared, why).await?;
    }
    Ok(uow.commit(again == Some(true)).await?)
}
