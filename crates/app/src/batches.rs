//! Forming batches: lines that wait become a batch, its task and its queued delegation in one transaction.

use std::time::Duration;

use domain::delegation::MOST_RETRIES;
use domain::{Actor, DelegationId, IngestRunId, TaskId, TaskKind};
use ports::Repos;
use ports::ledger::{Deadline, NewDelegation, NewTask};
use ports::repos::LockedIngestRun;
use serde::{Deserialize, Serialize};

use crate::OWN_WORKERS;
use crate::failure::Failure;

/// Who hands the server's own work of a kind to its workers.
pub(crate) fn caller_of(kind: &str) -> &'static str {
    if kind == TaskKind::SUBMISSION {
        "hallmark:depositions"
    } else {
        "hallmark:ingest"
    }
}

/// Whether a caller is the server itself. No party can be: theirs begin with `user:` or `service_account:`.
pub(crate) fn is_own(caller: &str) -> bool {
    caller.starts_with("hallmark:")
}

/// The parameters of a task of the kind `ingest_batch`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct BatchParams {
    pub(crate) ingest_run_id: uuid::Uuid,
    pub(crate) batch: u32,
}

impl BatchParams {
    pub(crate) const fn run(self) -> IngestRunId {
        IngestRunId::from_uuid(self.ingest_run_id)
    }
}

/// Cuts batches of a locked run while a full one waits, and the last one too if `rest`. Gives how many were cut.
pub(crate) async fn cut_batches(
    repos: &mut dyn Repos,
    run: IngestRunId,
    locked: &LockedIngestRun,
    actor: &Actor,
    rest: bool,
) -> Result<u32, Failure> {
    let mut waiting = repos.ingests().waiting(run).await?;
    let mut cut = 0;
    while waiting >= u64::from(locked.batch_size) || (rest && waiting > 0) {
        let batch = locked.next_batch + cut;
        let task = TaskId::of_batch(run, batch);
        let name = format!(
            "run the hooks of {} over batch {batch} of ingest run {run}",
            locked.convention
        );
        let params = serde_json::json!(BatchParams {
            ingest_run_id: run.as_uuid(),
            batch
        });
        repos
            .tasks()
            .create(&NewTask {
                id: task,
                kind: TaskKind::ingest_batch(),
                name: name.clone(),
                params,
                creator: actor.clone(),
                request: None,
            })
            .await?;
        let records = repos
            .ingests()
            .cut_batch(run, batch, task, locked.batch_size)
            .await?;
        repos
            .delegations()
            .create(&delegation(
                task,
                TaskKind::INGEST_BATCH,
                0,
                &name,
                Duration::ZERO,
            ))
            .await?;
        waiting = waiting.saturating_sub(u64::from(records));
        cut += 1;
    }
    Ok(cut)
}

/// The n-th delegation of a task of this kind to the server's own workers.
pub(crate) fn delegation(
    task: TaskId,
    kind: &str,
    retry: u32,
    preview: &str,
    delay: Duration,
) -> NewDelegation {
    NewDelegation {
        id: DelegationId::of_task(task, retry),
        task: Some(task),
        caller: caller_of(kind).to_owned(),
        callee: OWN_WORKERS.to_owned(),
        preview: preview.to_owned(),
        input: None,
        request: None,
        nesting: None,
        deadline: Deadline::Default,
        // Its time is counted from the claim.
        may_expire: false,
        retry_count: retry,
        retry_of: retry.checked_sub(1).map(|last| DelegationId::of_task(task, last)),
        max_retries: MOST_RETRIES,
        delay,
    }
}
