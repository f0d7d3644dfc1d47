//! Letting a claim go whose work failed: its task is delegated again at once, or given up after the last retry.

use domain::ledger::delegation::{MAX_RETRIES, preview};
use domain::{Actor, SubmissionStatus, TaskId, TaskKind};
use ports::{Claim, Committed, Store, StoreError, UnitOfWork};
use serde_json::Value;

use crate::deposit::submissions::give_back;
use crate::failure::Failure;
use crate::ingest::batches::BatchParams;
use crate::ingest::ending::{EXHAUSTED, end_run, give_up_batch};
use crate::ingest::pulls::PullParams;
use crate::retry::retried;
use crate::work::claims::fail_for_now;

/// Fails a claim for the reason `why`, and queues its task again or gives it up. Returns `None` if the claim was lost, or
/// whether the task was queued.
pub(crate) async fn let_go(store: &dyn Store, claim: &Claim, why: &str) -> Result<Option<bool>, Failure> {
    let why = preview(why);
    retried!(let_go_once(store, claim, &why)).map(Committed::into_inner)
}

async fn let_go_once(
    store: &dyn Store,
    claim: &Claim,
    why: &str,
) -> Result<Committed<Option<bool>>, Failure> {
    let mut uow = UnitOfWork::begin(store).await?;
    let queued = fail_for_now(&mut uow, claim, &name_of(claim), why, MAX_RETRIES).await?;
    if queued == Some(false) {
        give_up(&mut uow, claim.task, &claim.kind, &claim.params, why).await?;
    }
    Ok(uow.commit(queued).await?)
}

/// Ends what a task of the server's own is about, after its last retry failed for the reason `why`.
pub(crate) async fn give_up(
    uow: &mut UnitOfWork,
    task: TaskId,
    kind: &TaskKind,
    params: &Value,
    why: &str,
) -> Result<(), Failure> {
    let why = format!("given up after {MAX_RETRIES} retries: {why}");
    end_given_up(uow, task, kind, params, &why).await
}

/// Ends what a task of the server's own is about, for the reason `why`.
pub(crate) async fn end_given_up(
    uow: &mut UnitOfWork,
    task: TaskId,
    kind: &TaskKind,
    params: &Value,
    why: &str,
) -> Result<(), Failure> {
    match kind.as_str() {
        TaskKind::INGEST_BATCH => give_up_batch(uow, params_of(params)?, EXHAUSTED, why).await?,
        TaskKind::INGEST_PULL => {
            let pull: PullParams = params_of(params)?;
            end_run(uow, pull.run(), EXHAUSTED, why, &Actor::System).await?;
        }
        TaskKind::SUBMISSION => {
            let reasons = [why.to_owned()];
            give_back(uow, task, SubmissionStatus::Failed, &reasons, &Actor::System).await?;
        }
        _ => {}
    }
    Ok(())
}

/// Returns the preview of the next delegation of a claim's task. Parameters that cannot be read are no reason to keep it.
fn name_of(claim: &Claim) -> String {
    match claim.kind.as_str() {
        TaskKind::INGEST_BATCH => params_of::<BatchParams>(&claim.params)
            .map(|params| format!("batch {} of ingest run {}", params.batch, params.run())),
        TaskKind::INGEST_PULL => params_of::<PullParams>(&claim.params).map(PullParams::name),
        TaskKind::SUBMISSION => Ok(format!("submission {}", claim.task)),
        kind => Ok(format!("{kind} {}", claim.task)),
    }
    .unwrap_or_else(|_| format!("task {}", claim.task))
}

fn params_of<T: serde::de::DeserializeOwned>(params: &Value) -> Result<T, Failure> {
    Ok(serde_json::from_value(params.clone()).map_err(|e| StoreError::corrupt("tasks", e))?)
}
